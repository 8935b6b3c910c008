/** Adapter layers (Houlsby et al. 2019, without their layer norms): a bottleneck after each half of a block. */
import { addedTensors, affine, allBlocks } from "../names.ts";
import type { Rng } from "../rng.ts";
import type { Method } from "./method.ts";

export interface AdapterPart {
  /** The width of a bottleneck, m. */
  bottleneck: number;
}

/** N(0, 0.01^2), within 2 standard deviations. */
function initial(rng: Rng): number {
  for (;;) {
    const x = rng.normal();
    if (Math.abs(x) <= 2) return 0.01 * x;
  }
}

const added = (block: number, half: "attn" | "mlp", name: "down" | "up", parts: ReturnType<typeof affine>) =>
  addedTensors(`h.${block}.${half}.adapter.${name}`, { block, layer: `${half}.c_proj` }, parts, { weight: initial });

export const method: Method<AdapterPart> = {
  title: "adapter layers",
  keys: ["bottleneck"],
  tensors: (model, { bottleneck: m }) =>
    allBlocks(model).flatMap((l) =>
      // After the output matrix of each half of a block.
      (["attn", "mlp"] as const).flatMap((half) => [
        ...added(l, half, "down", affine(model.n_embd, m)),
        ...added(l, half, "up", affine(m, model.n_embd)),
      ]),
    ),
  isSeparate: true,
};
