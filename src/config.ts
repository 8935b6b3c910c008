/** What a model, an adapter and a task are made of, with outside names kept: nanoGPT's and PEFT's keys. */
import { ConfigError, FormatError } from "./errors.ts";
import { nearest } from "./suggest.ts";

/** The dimensions of a GPT-2, by the keys of Hugging Face's config.json. */
export interface GPT2Config {
  /** Number of tokens, V. */
  vocab_size: number;
  /** Longest sequence, in tokens. */
  n_positions: number;
  /** Number of transformer blocks, L. */
  n_layer: number;
  /** Number of attention heads, NH; n_embd is a multiple of it. */
  n_head: number;
  /** Width, C: a multiple of 4, as is the width of a head. */
  n_embd: number;
  layer_norm_epsilon: number;
}

/** What an adapter can stand beside: the matrices of a block, and the head. */
export const TARGETS = ["q", "k", "v", "o", "fc", "proj", "head"] as const;
/** The same, and `c_attn`: one adapter for q, k and v together, as PEFT has it. */
export const ALL_TARGETS = [...TARGETS, "c_attn"] as const;
export type Target = (typeof ALL_TARGETS)[number];

/** Which tensors learn. */
export const MODES = ["lora", "all", "last_block", "last_layer"] as const;
export type Mode = (typeof MODES)[number];

/** Where to compute. */
export const DEVICES = ["auto", "webgpu", "wasm"] as const;
export type DeviceName = (typeof DEVICES)[number];

/** What the frozen matrices are kept in. Everything that learns, and all arithmetic, is in f32. */
export const WEIGHT_DTYPES = ["f32", "f16"] as const;
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

/** The most batches that make a step: their results wait on the device until the host reads them. */
export const MAX_ACCUMULATE = 16;

/** What B A x is multiplied with. */
export const SCALINGS = ["alpha/r", "alpha", "alpha/sqrt(r)"] as const;
export type Scaling = (typeof SCALINGS)[number];

/**
 * How A begins (B is always 0): `gaussian` N(0, (1/r)^2) as PEFT's "gaussian", `kaiming` U(+-1/sqrt(in)) as PEFT's
 * default, `paper` U(+-1/sqrt(r)) as the paper's program.
 */
export const INITS = ["gaussian", "kaiming", "paper"] as const;
export type Init = (typeof INITS)[number];

/** Where a classifier reads its logits: at the last token of the message, or at the last position of the row. */
export const POOLINGS = ["last-token", "last"] as const;
export type Pooling = (typeof POOLINGS)[number];

export const OBJECTIVES = ["classification", "lm"] as const;
export type Objective = (typeof OBJECTIVES)[number];

/** One adapter: where it stands (`h.3.attn.q`, `head`), its rank, and what B A x is multiplied with. */
export interface LoraSite {
  site: string;
  r: number;
  scale: number;
}

export interface LoraConfig {
  /** Rank, R. */
  r: number;
  lora_alpha: number;
  scaling: Scaling;
  init: Init;
  target_modules: Target[];
  /** The blocks that have adapters, in ascending order; left out: all. The head's adapter is in none. */
  layers_to_transform?: number[];
  /** An adapter that PEFT wrote: every site with its own rank and scale, in place of what the settings above lead to. */
  sites?: LoraSite[];
  /** Tensors of the base model that learn beside the adapters (PEFT's bias="lora_only" and modules_to_save). */
  modulesToSave?: string[];
}

export interface TaskConfig {
  objective: Objective;
  /** Number of classes; 0 for a language model. */
  num_labels: number;
  pooling: Pooling;
  /** Whether the classification head has a bias. */
  head_bias: boolean;
}

/** The number that B A x is multiplied with. */
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

/** `word` as one of `allowed`; throws ConfigError with the nearest of them. */
export function oneOf<T extends string>(what: string, word: unknown, allowed: readonly T[], where?: string): T {
  const found = allowed.find((candidate) => candidate === word);
  if (found !== undefined) return found;
  const near = typeof word === "string" ? nearest(word, allowed) : undefined;
  throw new ConfigError(`unknown ${what}`, {
    expected: `one of ${allowed.join(", ")}`,
    found: show(word),
    ...(where === undefined ? {} : { where }),
    ...(near === undefined ? {} : { hint: `did you mean ${near}?` }),
  });
}

/** Blocks and ranges of them, such as ["0", "5-8"], in ascending order; null for "all". */
export function parseLayers(words: readonly string[]): number[] | null {
  if (words.length === 1 && words[0] === "all") return null;
  const blocks = words.flatMap((word) => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(word) ?? [];
    const count = Number(last) - Number(first) + 1;
    if (!(count >= 1 && Number(last) < MAX_LAYERS))
      throw new ConfigError("a list of layers makes no sense", {
        expected: "blocks, counted from 0, and ranges of them: 0,5-8",
        found: words.join(","),
      });
    return Array.from({ length: count }, (_, i) => Number(first) + i);
  });
  return blocks.sort((a, b) => a - b);
}

/** Throws ConfigError unless an adapter can be built from `config`. `where` says where its values come from. */
export function validateLora(config: LoraConfig, where?: string): void {
  const place = where === undefined ? {} : { where };
  if (!isPositiveInteger(config.r))
    throw new ConfigError("the LoRA rank r makes no sense", {
      ...place,
      expected: "an integer of 1 or more",
      found: show(config.r),
      hint: "4, 8, 16 and 32 are usual ranks",
    });
  if (!isPositive(config.lora_alpha))
    throw new ConfigError("lora_alpha makes no sense", {
      ...place,
      expected: "a number above 0",
      found: show(config.lora_alpha),
      hint: "lora_alpha is usually between r and 2 r",
    });
  oneOf("scaling", config.scaling, SCALINGS, where);
  oneOf("init", config.init, INITS, where);
  for (const target of config.target_modules) oneOf("target module", target, ALL_TARGETS, where);
  if (config.target_modules.length === 0)
    throw new ConfigError("target_modules is empty", { ...place, expected: `some of ${ALL_TARGETS.join(", ")}` });
  if (new Set(config.target_modules).size !== config.target_modules.length)
    throw new ConfigError("target_modules names a target twice", { ...place, found: config.target_modules.join(", ") });
  const apart = config.target_modules.filter((target) => target === "q" || target === "k" || target === "v");
  if (config.target_modules.includes("c_attn") && apart.length > 0)
    throw new ConfigError("target_modules names a matrix twice", {
      ...place,
      expected: "c_attn, or q, k and v apart",
      found: config.target_modules.join(", "),
    });
  if (config.layers_to_transform !== undefined)
    validateLayers(config.layers_to_transform, config.target_modules, place);
}

/** Whether the model has so many blocks is seen where the adapters' places are listed. */
function validateLayers(layers: readonly number[], targets: readonly Target[], place: { where?: string }): void {
  const good = Array.isArray(layers) && layers.every((layer) => Number.isSafeInteger(layer) && layer >= 0);
  if (!good || layers.length === 0)
    throw new ConfigError("the layers with adapters make no sense", {
      ...place,
      expected: "a list of blocks, counted from 0",
      found: show(layers),
    });
  if (layers.some((layer, i) => i > 0 && layer <= layers[i - 1]!))
    throw new ConfigError("the layers with adapters are not in ascending order, or one is there twice", {
      ...place,
      found: layers.join(", "),
    });
  if (targets.every((target) => target === "head"))
    throw new ConfigError("layers are given, but no target is in a block", { ...place, found: targets.join(", ") });
}

/** Blocks of the deepest model: what a file or a flag has beyond is no number of blocks. GPT-2 XL has 48. */
export const MAX_LAYERS = 1024;

const SIZES = ["vocab_size", "n_positions", "n_layer", "n_head", "n_embd"] as const;

/** Keys that change what a GPT-2 computes, with the only value that is supported; absent means that value too. */
const FIXED: Record<string, unknown> = {
  model_type: "gpt2",
  activation_function: "gelu_new",
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  reorder_and_upcast_attn: false,
  add_cross_attention: false,
  tie_word_embeddings: true,
};

/**
 * Reads the parsed text of a Hugging Face config.json. `where` names the file in errors.
 * Throws FormatError for missing keys and wrong types, ConfigError for a model that is well described but unsupported.
 */
export function parseConfig(json: unknown, where: string): GPT2Config {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new FormatError("a model's config is not a JSON object", { where, found: show(json) });
  const values = json as Record<string, unknown>;
  const required = [...SIZES, "layer_norm_epsilon"];
  const missing = required.filter((key) => values[key] === undefined);
  if (missing.length > 0)
    throw new FormatError(`a model's config lacks ${missing.join(", ")}`, {
      where,
      expected: required.join(", "),
      found: Object.keys(values).join(", ") || "no keys",
      hint: "is this the config.json of a GPT-2 model in Hugging Face's layout?",
    });
  for (const key of SIZES)
    if (!isPositiveInteger(values[key]))
      throw new FormatError(`${key} is not a size`, {
        where,
        expected: "an integer of 1 or more",
        found: show(values[key]),
      });
  if ((values.n_layer as number) > MAX_LAYERS)
    throw new FormatError("n_layer is beyond all models", {
      where,
      expected: `at most ${MAX_LAYERS}`,
      found: show(values.n_layer),
    });
  if (!isPositive(values.layer_norm_epsilon))
    throw new FormatError("layer_norm_epsilon is not usable", {
      where,
      expected: "a number above 0",
      found: show(values.layer_norm_epsilon),
    });
  const { vocab_size, n_positions, n_layer, n_head, n_embd, layer_norm_epsilon } = values as unknown as GPT2Config;
  const config = { vocab_size, n_positions, n_layer, n_head, n_embd, layer_norm_epsilon };
  refuseVariants(values, n_embd, where);
  checkWidths(config, where);
  return config;
}

function refuseVariants(values: Record<string, unknown>, width: number, where: string): void {
  for (const [key, only] of Object.entries(FIXED)) {
    const value = values[key] ?? only;
    if (value !== only)
      throw new ConfigError(`${key} = ${show(value)} is not supported`, { where, expected: show(only) });
  }
  const inner = values.n_inner ?? 4 * width;
  if (inner !== 4 * width)
    throw new ConfigError(`n_inner = ${show(inner)} is not supported`, {
      where,
      expected: `4 * n_embd = ${4 * width}, or null`,
    });
}

function checkWidths({ n_embd, n_head }: GPT2Config, where: string): void {
  if (n_embd % n_head !== 0)
    throw new ConfigError("n_embd is not a multiple of n_head", {
      where,
      expected: `a multiple of ${n_head}`,
      found: String(n_embd),
    });
  // The kernels read four floats at a time, along the width and along a head.
  for (const [what, width] of [
    ["n_embd", n_embd],
    ["the width of a head (n_embd / n_head)", n_embd / n_head],
  ] as const)
    if (width % 4 !== 0)
      throw new ConfigError(`${what} is not a multiple of 4`, {
        where,
        expected: "a multiple of 4",
        found: String(width),
        hint: "the kernels work on four values at a time",
      });
}

function isPositiveInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function isPositive(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}

/** A value as it stands in a message: NaN stays NaN, strings are quoted. */
function show(value: unknown): string {
  return typeof value === "number" || value === undefined ? String(value) : JSON.stringify(value);
}
