/** How LoRA is trained, and what people read of it. */
import { MAX_LAYERS } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { isInBlocks, TARGETS, type Target } from "../names.ts";
import { ALPHAS, DROPOUTS, INITS, type Init, type LoraPart, RANKS, SCALINGS, type Scaling } from "./lora.ts";
import type { Flags, Guide, Training } from "./method.ts";

export interface LoraOptions {
  /** Width of LoRA's matrices A and B (PEFT's `r`). Default: 8. */
  rank: number;
  /** B A counts `alpha / rank` times (PEFT's `lora_alpha`). Default: 16. */
  alpha: number;
  /** The factor of B A; "alpha/sqrt(r)" is rsLoRA's, "alpha" the published program's. Default: "alpha/r". */
  scaling: Scaling;
  /** Initial values of A; B is 0 at first. Default: "kaiming", as in PEFT. */
  init: Init;
  /**
   * The matrices with adapters (PEFT's `target_modules`). Default: "q", "k", "v", "o", "fc", "proj" and "head"; with DoRA
   * and of language models without "head".
   */
  targets: readonly Target[];
  /**
   * The blocks that have adapters, numbered from 0 (PEFT's `layers_to_transform`). Does not apply to the head. Default:
   * null, all; of a Llama with fewer than 50 million parameters the upper third.
   */
  layers: readonly number[] | null;
  /** The share of each adapter's input that is dropped in training (PEFT's `lora_dropout`). Default: 0. */
  dropout: number;
  /** Learning rate of B divided by that of everything else (LoRA+). Default: 1. */
  lrRatio: number;
  /** Whether the magnitude of each output is trained apart from its direction (DoRA). Default: false. */
  dora: boolean;
}

export const training: Training<LoraOptions, LoraPart> = {
  settings: {
    rank: { default: 8, number: RANKS },
    alpha: { default: 16, number: ALPHAS },
    targets: { default: TARGETS },
    layers: { default: null },
    dropout: { default: 0, number: DROPOUTS, perRun: true },
    lrRatio: { default: 1, number: { min: 0, above: true }, perRun: true },
    dora: { default: false },
    scaling: { default: "alpha/r", choices: SCALINGS, published: ["alpha"] },
    init: { default: "kaiming", choices: INITS, published: ["paper"] },
  },
  rates: [1e-3, 2e-4],
  defaults: ({ dora }) => (dora ? { targets: TARGETS.filter(isInBlocks) } : {}),
  describe: ({ rank, alpha, dropout, dora }) =>
    `rank ${rank}, alpha ${alpha}${dropout > 0 ? `, dropout ${dropout}` : ""}${dora ? ", DoRA" : ""}`,
  config: ({ rank, alpha, scaling, init, targets, layers, dropout, lrRatio, dora }) => ({
    lora: {
      ...{ r: rank, lora_alpha: alpha, scaling, init, target_modules: [...targets] },
      ...(layers ? { layers_to_transform: [...layers] } : {}),
      ...(dropout > 0 ? { lora_dropout: dropout } : {}),
      ...(dora ? { use_dora: true } : {}),
    },
    ...(lrRatio === 1 ? {} : { lr_ratio: lrRatio }),
  }),
  options({ lora }) {
    const { r: rank, lora_alpha: alpha, scaling, init, target_modules: targets } = lora!;
    const { layers_to_transform: layers = null, lora_dropout: dropout = 0, use_dora: dora = false } = lora!;
    return { rank, alpha, scaling, init, targets, layers, dropout, dora };
  },
};

export const guide: Guide<LoraOptions> = {
  choice: "LoRA",
  settings: {
    rank: {
      label: "Rank",
      isMain: true,
      why: "The width of LoRA's matrices A and B. A higher rank can learn more and makes a larger adapter; 4 to 16 is usually enough.",
    },
    alpha: {
      label: "Alpha",
      isMain: true,
      why: "How much the adapter counts: B A is multiplied by alpha / rank. Twice the rank is a good start; it acts much like a learning rate.",
    },
    targets: {
      label: "Target matrices",
      kind: "targets",
      why: "The matrices of each block that get an adapter. With fewer of them the adapter is smaller and learns a little less. With the token table it learns words: it is much larger, and better on hard data.",
    },
    layers: {
      label: "Adapter blocks",
      help: "Such as 0,2-3; empty: all",
      kind: "layers",
      why: "The blocks that get adapters, counted from 0. Without the lowest ones, training is faster.",
    },
    dropout: {
      label: "Dropout",
      why: "The share of what goes into an adapter that is set to 0, at random, at each training step. It can help against overfitting; 0.05 and 0.1 are usual, 0 is off.",
    },
    lrRatio: {
      label: "Rate of B",
      help: "Times A's; LoRA+: 16",
      why: "How much faster B learns than A. LoRA+ proposes 16; 1 is LoRA as published.",
    },
    dora: {
      label: "Train magnitudes (DoRA)",
      why: "The length of each column of a matrix is trained apart from its direction. It often learns a little more at low ranks, and takes more time. The head then has no adapter.",
    },
    scaling: {
      label: "Adapter scaling",
      why: "The factor of B A. alpha/r is LoRA's, alpha/sqrt(r) is rsLoRA's for high ranks.",
    },
    init: {
      label: "Initial values of A",
      why: "The first values of A; B starts at zero, so that the adapter changes nothing at first. Kaiming is PEFT's.",
    },
  },
  rates: { lowest: 1e-4, papers: "2e-4 for GPT-2 (Hu et al. 2021)" },
  duration: 1,
  // The best rate falls with the rank: on the bundled messages rank 1 reaches .882 at 3e-3 and .857 at 1e-3, rank 16
  // .858 and .897.
  compared: [
    { settings: { rank: 1, alpha: 2 }, rates: [3e-3, 2e-4] },
    { settings: { rank: 4, alpha: 8 }, rates: [2e-3, 2e-4] },
    { settings: { rank: 16, alpha: 32 } },
  ],
};

export const flags: Flags<LoraOptions> = {
  rank: "LoRA rank",
  alpha: "LoRA alpha",
  dropout: "share of each adapter's input that is dropped in training",
  scaling: "scaling factor of the adapters",
  init: "initialization of A; B is initialized to 0",
  targets: "matrices with adapters: q,k,v,o,fc,proj,head; c_attn: one adapter for q,k,v; all,wte: also the token table",
  layers: "blocks with adapters, such as 0,5-8",
  lrRatio: "learning rate of B divided by that of A (LoRA+ uses 16)",
  dora: "also train the magnitude of each output of the adapted matrices (DoRA); the head then has no adapter",
};

/** Parses block numbers and ranges, such as ["0", "5-8"]. Returns them in ascending order, or null for "all". */
export function parseLayers(words: readonly string[]): number[] | null {
  if (words.length === 1 && words[0] === "all") return null;
  const blocks = words.flatMap((word) => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(word) ?? [];
    const count = Number(last) - Number(first) + 1;
    if (!(count >= 1 && Number(last) < MAX_LAYERS))
      throw new ConfigError("invalid-lora-config", "the list of layers is invalid", {
        expected: "block numbers, from 0, and ranges: 0,5-8",
        found: words.join(","),
      });
    return Array.from({ length: count }, (_, i) => Number(first) + i);
  });
  return blocks.sort((a, b) => a - b);
}
