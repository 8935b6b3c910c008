/** LoRA (Hu et al. 2021): a frozen matrix W, to which B A of low rank is added and trained. */
import { checkNumber, isListOf, type NumberRange, parseChoice, show } from "../core/checks.ts";
import { isLlama, MAX_LAYERS, type ModelConfig } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import {
  ADAPTED,
  allBlocks,
  columnsIn,
  type Initial,
  isInBlocks,
  type LoraAdapter,
  loraDims,
  loraName,
  type ModelTensor,
  magnitudeName,
  modelTargets,
  scaledColumns,
  sites,
  sitesByName,
  TARGETS,
  type Target,
  uniform,
} from "../core/names.ts";
import type { Rng } from "../core/rng.ts";
import { type Flags, type Guide, inPage, type Method, type Training } from "./method.ts";

// ---------------------------------------------------------------------------------------------------- settings

/** The values that the sizes of LoRA's matrices, their weight and their dropout can have. */
export const RANKS: NumberRange = { min: 1, whole: true };
export const ALPHAS: NumberRange = { min: 0, above: true };
export const DROPOUTS: NumberRange = { min: 0, max: 1, below: true };

/** The factor of B A x. */
export const SCALINGS = ["alpha/r", "alpha", "alpha/sqrt(r)"] as const;
/** How the factor of B A x follows from alpha and the rank. */
export type Scaling = (typeof SCALINGS)[number];

/**
 * Initialization of A (B is initialized to 0): `gaussian` N(0, (1/r)^2) as PEFT's "gaussian", `kaiming` U(+-1/sqrt(in))
 * as PEFT's default, `paper` U(+-1/sqrt(r)) as the paper's program.
 */
export const INITS = ["gaussian", "kaiming", "paper"] as const;
/** The name of an initialization of A. */
export type Init = (typeof INITS)[number];

/** One adapter: its site (`h.3.attn.q`, `head`), its rank, and the factor of B A x. */
export interface LoraSite {
  site: string;
  r: number;
  scale: number;
}

/** The settings of LoRA adapters, by PEFT's keys. */
export interface LoraConfig {
  /** Rank, R. */
  r: number;
  lora_alpha: number;
  scaling: Scaling;
  init: Init;
  target_modules: Target[];
  /** The share of an adapter's input that is dropped in training; absent: 0. */
  lora_dropout?: number;
  /** The blocks that have adapters, in ascending order; default: all. Does not apply to the head. */
  layers_to_transform?: number[];
  /** Each matrix with adapters is scaled to a magnitude of each output, which is trained: DoRA (Liu et al. 2024). */
  use_dora?: true;
  /** Set for adapters written by PEFT: each site with its own rank and scale. Overrides the settings above. */
  sites?: LoraSite[];
  /** Tensors of the base model that are trained too (PEFT's bias="lora_only" and modules_to_save). */
  modulesToSave?: string[];
}

/** The factor of B A x. */
export function loraScale({ r, lora_alpha, scaling }: Pick<LoraConfig, "r" | "lora_alpha" | "scaling">): number {
  switch (scaling) {
    case "alpha/r":
      return lora_alpha / r;
    case "alpha":
      return lora_alpha;
    case "alpha/sqrt(r)":
      return lora_alpha / Math.sqrt(r);
  }
}

/** The matrices of a gated MLP, by those of a plain one. */
const INSTEAD: Partial<Record<Target, readonly Target[]>> = { fc: ["gate", "up"], proj: ["down"] };

/** The targets in this model. Throws ConfigError for one that it does not have. */
function targetsIn(config: ModelConfig, targets: readonly Target[]): Target[] {
  const known = modelTargets(config);
  const sites = targets.flatMap((target) => (isLlama(config) && INSTEAD[target]) || [target]);
  const other = sites.find((target) => !known.includes(target));
  if (other === undefined) return sites;
  throw new ConfigError("no-such-adapter-site", `the model has no matrix ${other}`, {
    expected: `some of ${known.join(", ")}`,
    found: targets.join(", "),
  });
}

/**
 * All adapters of a model, that of the token table first, then block by block, the head last. Throws ConfigError for
 * one that the model cannot have.
 */
export function loraAdapters(config: ModelConfig, lora: LoraConfig): LoraAdapter[] {
  if (lora.sites) {
    const known = sitesByName(config);
    return lora.sites.map(({ site: name, ...rest }) => {
      const site = known.get(name);
      if (site) return { ...site, ...rest };
      throw new ConfigError("no-such-adapter-site", `the model has no adapter site ${name}`, {
        expected: "h.0.attn.q, ..., head",
      });
    });
  }
  const { r, target_modules, layers_to_transform: blocks = allBlocks(config) } = lora;
  const last = blocks.at(-1)!;
  if (last >= config.n_layer)
    throw new ConfigError("no-such-layer", "the model has no such layer", {
      expected: `blocks from 0 to ${config.n_layer - 1}`,
      found: String(last),
    });
  const scale = loraScale(lora);
  return sites(config, blocks, targetsIn(config, target_modules)).map((site) => ({ ...site, r, scale }));
}

// ---------------------------------------------------------------------------------------------------- checks

const ALL_TARGETS = /* @__PURE__ */ Object.keys(ADAPTED) as Target[];

const isBlock = (layer: unknown) => Number.isSafeInteger(layer) && (layer as number) >= 0;

const isAscending = (layers: readonly unknown[]) => layers.every((layer, i) => i === 0 || layer! > layers[i - 1]!);

type Listed = "target_modules" | "layers_to_transform";

/** Why one of the lists is invalid; each where those before it are absent. What follows: the error's details. */
const listFaults = (): [of: Listed, summary: string, is: (lora: LoraConfig) => boolean, object?][] => [
  [
    "target_modules",
    "the targets are invalid",
    ({ target_modules: t }) => t.length === 0 || new Set(t).size < t.length,
    { expected: `one or more of ${ALL_TARGETS.join(", ")}, each once` },
  ],
  [
    "target_modules",
    "the targets name a matrix twice",
    ({ target_modules: t }) => t.includes("c_attn") && t.some((target) => /^[qkv]$/.test(target)),
    { expected: "either c_attn, or any of q, k and v" },
  ],
  [
    "target_modules",
    "DoRA outside the blocks is not supported",
    ({ use_dora = false, target_modules }) => use_dora && !target_modules.every(isInBlocks),
    { hint: "leave head and wte out" },
  ],
  [
    "layers_to_transform",
    "the layers with adapters are invalid",
    ({ layers_to_transform: layers = [0] }) =>
      !isListOf(layers, isBlock) || layers.length === 0 || !isAscending(layers),
    { expected: "a list of block numbers, from 0, in ascending order" },
  ],
  [
    "target_modules",
    "layers are given, but no target is part of a block",
    ({ layers_to_transform, target_modules }) => layers_to_transform !== undefined && !target_modules.some(isInBlocks),
  ],
];

/** Throws ConfigError if `config` is invalid. `where` is the source of its values. */
export function validateLora(config: LoraConfig, where?: string): void {
  checkNumber("rank", config.r, RANKS, where);
  checkNumber("alpha", config.lora_alpha, ALPHAS, where);
  checkNumber("dropout", config.lora_dropout ?? 0, DROPOUTS, where);
  parseChoice("scaling", config.scaling, SCALINGS, where);
  parseChoice("init", config.init, INITS, where);
  for (const target of config.target_modules) parseChoice("target module", target, ALL_TARGETS, where);
  const [of, summary, , details] = listFaults().find(([, , is]) => is(config)) ?? [];
  if (of === undefined) return;
  const found = show(config[of]);
  throw new ConfigError("invalid-lora-config", summary!, {
    where,
    ...details,
    found,
  });
}

// ---------------------------------------------------------------------------------------------------- the method

export interface LoraPart {
  lora: LoraConfig | null;
  /** The learning rate of B divided by that of everything else (LoRA+, Hayou et al. 2024); default 1. */
  lr_ratio?: number;
}

/** The initial values of A; B is 0 at first. */
function initialA(init: Init, r: number, input: number): Initial {
  switch (init) {
    case "gaussian":
      return (rng) => rng.normal() / r;
    case "kaiming":
      return uniform(1 / Math.sqrt(input));
    case "paper":
      return uniform(1 / Math.sqrt(r));
  }
}

/** DoRA's magnitudes of a matrix. */
function magnitude({ target, block }: LoraAdapter, adapters: readonly LoraAdapter[], model: ModelConfig): ModelTensor {
  const place = { block, layer: ADAPTED[target].layer };
  const columns = scaledColumns(place, adapters, model);
  const shape = [columns.reduce((sum, { width }) => sum + width, 0)];
  return {
    ...place,
    part: "magnitude",
    origin: "method",
    name: magnitudeName(place),
    shape,
    initial: "norms",
    columns,
  };
}

/** The adapter of the token table, with PEFT's initial values: A is 0, B is N(0, 1). A row of A is a token's. */
function tokenAdapter(
  tensor: Pick<ModelTensor, "block" | "layer" | "origin"> & { adapter: LoraAdapter },
  tokens: number,
  width: number,
  lr_ratio: number,
): ModelTensor[] {
  const { adapter } = tensor;
  const initial = (rng: Rng) => rng.normal();
  return [
    { ...tensor, part: "A", name: loraName(adapter, "A"), shape: [tokens, adapter.r] },
    { ...tensor, part: "B", name: loraName(adapter, "B"), shape: [width, adapter.r], initial, rate: lr_ratio },
  ];
}

export const method: Method<LoraPart> = {
  title: "LoRA",
  keys: ["lora"],
  tensors(model, { lora, lr_ratio = 1 }, classes) {
    const adapters = loraAdapters(model, lora!);
    return adapters.flatMap((adapter, i) => {
      const { target, block, r } = adapter;
      const dims = loraDims(target, model, classes);
      const { layer } = ADAPTED[target];
      const common = { block, layer, origin: "method", adapter } as const;
      if (target === "wte") return tokenAdapter(common, dims.in, dims.out, lr_ratio);
      const initial = initialA(lora!.init, r, dims.in);
      // As much as the widest of the matrices that lie side by side.
      const room = r * Math.max(dims.out, ...columnsIn(layer, model).map(({ width }) => width));
      const B: ModelTensor = {
        ...common,
        part: "B",
        name: loraName(adapter, "B"),
        shape: [dims.out, r],
        room,
        rate: lr_ratio,
      };
      const A: ModelTensor = {
        ...common,
        part: "A",
        name: loraName(adapter, "A"),
        shape: [r, dims.in],
        initial,
        partner: B,
      };
      // Behind the last adapter of a matrix: q, k and v are handled together and must be next to each other.
      const isLast = !adapters
        .slice(i + 1)
        .some((other) => other.block === block && ADAPTED[other.target].layer === layer);
      return lora!.use_dora && isLast ? [A, B, magnitude(adapter, adapters, model)] : [A, B];
    });
  },
  trains: ({ name }, _, { lora }) => lora?.modulesToSave?.includes(name) ?? false,
  peft: { type: "LORA" },
};

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
   * The matrices with adapters (PEFT's `target_modules`). Default: "q", "k", "v", "o", "fc", "proj" and "head"; with
   * DoRA and of language models without "head".
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
    rank: inPage(
      { default: 8, number: RANKS, isMain: true, others: ["r", "lora_r", "lora_rank"] },
      "Rank: The width of LoRA's matrices A and B. A higher rank can learn more and makes a larger adapter; 4 to 16 is usually enough.",
    ),
    alpha: inPage(
      { default: 16, number: ALPHAS, isMain: true, others: ["lora_alpha"] },
      "Alpha: How much the adapter counts: B A is multiplied by alpha / rank. Twice the rank is a good start; it acts much like a learning rate.",
    ),
    targets: inPage(
      { default: TARGETS, kind: "targets", others: ["target_modules", "lora_target_modules"] },
      "Target matrices: The matrices of each block that get an adapter. With fewer of them the adapter is smaller and learns a little less. With the token table it learns words: it is much larger, and better on hard data.",
    ),
    layers: inPage(
      { default: null, kind: "layers", help: "Such as 0,2-3; empty: all", others: ["layers_to_transform"] },
      "Adapter blocks: The blocks that get adapters, counted from 0. Without the lowest ones, training is faster.",
    ),
    dropout: inPage(
      { default: 0, number: DROPOUTS, perRun: true, others: ["lora_dropout"] },
      "Dropout: The share of what goes into an adapter that is set to 0, at random, at each training step. It can help against overfitting; 0.05 and 0.1 are usual, 0 is off.",
    ),
    lrRatio: inPage(
      {
        default: 1,
        number: { min: 0, above: true },
        perRun: true,
        help: "Times A's; LoRA+: 16",
        others: ["loraplus_lr_ratio"],
      },
      "Rate of B: How much faster B learns than A. LoRA+ proposes 16; 1 is LoRA as published.",
    ),
    dora: inPage(
      { default: false, others: ["use_dora"] },
      "Train magnitudes (DoRA): The length of each column of a matrix is trained apart from its direction. It often learns a little more at low ranks, and takes more time. The head then has no adapter.",
    ),
    scaling: inPage(
      { default: "alpha/r", choices: SCALINGS, published: ["alpha"], others: ["use_rslora alpha/sqrt(r)"] },
      "Adapter scaling: The factor of B A. alpha/r is LoRA's, alpha/sqrt(r) is rsLoRA's for high ranks.",
    ),
    init: inPage(
      { default: "kaiming", choices: INITS, published: ["paper"], others: ["init_lora_weights"] },
      "Initial values of A: The first values of A; B starts at zero, so that the adapter changes nothing at first. Kaiming is PEFT's.",
    ),
  },
  rates: [1e-3, 2e-4],
  defaults: ({ dora }) => (dora ? { targets: TARGETS.filter(isInBlocks) } : {}),
  describe: ({ rank, alpha, dropout, dora }) =>
    `rank ${rank}, alpha ${alpha}${dropout > 0 ? `, dropout ${dropout}` : ""}${dora ? ", DoRA" : ""}`,
  config: ({ rank, alpha, scaling, init, targets, layers, dropout, lrRatio, dora }) => ({
    lora: {
      r: rank,
      lora_alpha: alpha,
      scaling,
      init,
      target_modules: [...targets],
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
  // In papers: 2e-4 for GPT-2 (Hu et al. 2021).
  rates: { lowest: 1e-4 },
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
  targets:
    "<list> matrices with adapters: q,k,v,o,fc,proj,head; c_attn: one adapter for q,k,v; all,wte: also the token table (default: all)",
  layers:
    "<list> blocks with adapters, such as 0,5-8 (default: all; of a Llama with fewer than 50 million parameters the upper third)",
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
