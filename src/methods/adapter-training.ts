/** How adapter layers are trained, and what people read of them. */
import type { AdapterPart } from "./adapter.ts";
import type { Flags, Guide, Training } from "./method.ts";

export interface AdapterOptions {
  /** Width of an adapter layer's bottleneck. Default: 16. */
  bottleneck: number;
}

export const training: Training<AdapterOptions, AdapterPart> = {
  settings: { bottleneck: { default: 16, number: { min: 1, whole: true } } },
  rates: [3e-3, 3e-4],
  describe: ({ bottleneck }) => `width ${bottleneck}`,
  config: ({ bottleneck }) => ({ bottleneck }),
  options: ({ bottleneck }) => ({ bottleneck }),
};

export const guide: Guide<AdapterOptions> = {
  choice: "adapter layers",
  about:
    "Two small layers are added to each block and trained. They stay in the model and cost a little time at each use.",
  settings: {
    bottleneck: {
      label: "Bottleneck width",
      isMain: true,
      why: "The width of the small layers that are added to each block. Wider layers can learn more and take more memory.",
    },
  },
  rates: { lowest: 1e-4, papers: "3e-5 to 3e-3 (Houlsby et al. 2019)" },
  size: { setting: "bottleneck" },
  duration: 0.7,
};

export const flags: Flags<AdapterOptions> = {
  bottleneck: "width of an adapter layer's bottleneck",
};
