/** Adapter layers (Houlsby et al. 2019, without their layer norms): a bottleneck after each half of a block. */
import { linearShapes } from "../names.ts";
import type { Guide, Method } from "./method.ts";

export interface AdapterOptions {
  /** Width of an adapter layer's bottleneck. */
  bottleneck: number;
}

export interface AdapterPart {
  /** The width of a bottleneck, m. */
  bottleneck: number;
}

/** Where a block has adapter layers: after the output matrix of each half, `h.N.<place>.adapter`. */
const PLACES = ["attn", "mlp"] as const;

export const method: Method<AdapterOptions, AdapterPart> = {
  title: "adapter layers",
  settings: { bottleneck: { default: 16, number: { min: 1, whole: true } } },
  describe: ({ bottleneck }) => `width ${bottleneck}`,
  keys: ["bottleneck"],
  config: ({ bottleneck }) => ({ bottleneck }),
  options: ({ bottleneck }) => ({ bottleneck }),
  shapes: ({ n_layer, n_embd: C }, { bottleneck: m }) =>
    Array.from({ length: n_layer }, (_, l) =>
      PLACES.flatMap((place) => [
        ...linearShapes(`h.${l}.${place}.adapter.down`, C, m),
        ...linearShapes(`h.${l}.${place}.adapter.up`, m, C),
      ]),
    ).flat(),
  isSeparate: true,
};

export const guide: Guide<AdapterOptions> = {
  choice: "adapter layers",
  about:
    "Two small layers are added to each block and trained. They stay in the model and cost a little time at each use.",
  settings: {
    bottleneck: {
      flag: "width of an adapter layer's bottleneck",
      label: "Bottleneck width",
      why: "The width of the small layers that are added to each block. Wider layers can learn more and take more memory.",
      isMain: true,
    },
  },
  rates: { lowest: 1e-4, papers: "3e-5 to 3e-3 (Houlsby et al. 2019)" },
  size: { setting: "bottleneck" },
  duration: 0.7,
};
