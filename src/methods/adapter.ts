/** Adapter layers (Houlsby et al. 2019, without their layer norms): a bottleneck after each half of a block. */
import { addedTensors, affine, allBlocks } from "../core/names.ts";
import type { Rng } from "../core/rng.ts";
import { type Flags, type Guide, inPage, type Method, type Training } from "./method.ts";

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

export interface AdapterOptions {
  /** Width of an adapter layer's bottleneck. Default: 16. */
  bottleneck: number;
}

export const training: Training<AdapterOptions, AdapterPart> = {
  settings: {
    bottleneck: inPage(
      { default: 16, number: { min: 1, whole: true }, isMain: true },
      "Bottleneck width: The width of the small layers that are added to each block. Wider layers can learn more and take more memory.",
    ),
  },
  rates: [3e-3, 3e-4],
  describe: ({ bottleneck }) => `width ${bottleneck}`,
  config: ({ bottleneck }) => ({ bottleneck }),
  options: ({ bottleneck }) => ({ bottleneck }),
};

export const guide: Guide<AdapterOptions> = {
  choice: "adapter layers",
  about:
    "Two small layers are added to each block and trained. They stay in the model and cost a little time at each use.",
  // In papers: 3e-5 to 3e-3 (Houlsby et al. 2019).
  rates: { lowest: 1e-4 },
  size: { setting: "bottleneck" },
  duration: 0.7,
};

export const flags: Flags<AdapterOptions> = {
  bottleneck: "width of an adapter layer's bottleneck",
};
