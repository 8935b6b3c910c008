/** The configuration of models, adapters and tasks, with the keys of Hugging Face and PEFT. */

import {
  checkKinds,
  checkNumber,
  type Fields,
  isObject,
  type Kind,
  lookUp,
  type NumberRange,
  parseChoice,
  show,
  withoutNulls,
} from "./checks.ts";
import { ConfigError, FormatError } from "./errors.ts";

/**
 * Architectures other than GPT-2: Llama's, and Qwen2's, which differs by the biases of its queries, keys and values.
 */
export const LLAMA_TYPES = ["llama", "qwen2"] as const;
export type LlamaType = (typeof LLAMA_TYPES)[number];

/** The name of a model's architecture, for people. */
export function architectureName({ model_type }: Pick<ModelConfig, "model_type">): string {
  return model_type ? { llama: "Llama", qwen2: "Qwen2" }[model_type] : "GPT-2";
}

/** How the frequencies of rotary positions are stretched for a longer context: `rope_scaling` of a config.json. */
export type RopeScaling =
  | { rope_type: "linear"; factor: number }
  | {
      rope_type: "llama3";
      factor: number;
      low_freq_factor: number;
      high_freq_factor: number;
      original_max_position_embeddings: number;
    };

/**
 * The dimensions of a model, by the keys of a GPT-2's config.json on the hub. Those of a Llama-type model have other
 * names there: see io/llama-config.ts.
 */
export interface ModelConfig {
  /** Absent: GPT-2. */
  model_type?: LlamaType;
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
  /** Width of the MLP, a multiple of 4; absent: 4 n_embd. */
  n_inner?: number;
  /** Absent: gelu_new, which is also called gelu_pytorch_tanh. */
  activation_function?: Activation;
  /** Whether attention scores are divided by the square root of the head's width; absent: true. */
  scale_attn_weights?: boolean;
  /** Whether the scores of block l are also divided by l + 1; absent: false. */
  scale_attn_by_inverse_layer_idx?: boolean;
  /** Whether a language model's head is the token table; absent: true. */
  tie_word_embeddings?: boolean;
  /** Number of heads of keys and values, which n_head is a multiple of; absent: n_head. */
  n_kv_head?: number;
  /** Rotary positions, of a Llama-type model, instead of a table of positions. */
  rope?: { theta: number; scaling?: RopeScaling };
}

/** Columns of the queries, the keys and the values together. */
export function qkvWidth({ n_embd, n_head, n_kv_head = n_head }: ModelConfig): number {
  return n_embd + 2 * n_kv_head * (n_embd / n_head);
}

/** Activations of the MLP: GELU in the tanh form of GPT-2, exact GELU, and max(x, 0). */
export const ACTIVATIONS = ["gelu_new", "gelu", "relu"] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** Width of the MLP. */
export function innerWidth({ n_inner, n_embd }: ModelConfig): number {
  return n_inner ?? 4 * n_embd;
}

/** The factor of attention's scores in block l. */
export function attentionScale(config: ModelConfig, l: number): number {
  const { n_embd, n_head, scale_attn_weights = true, scale_attn_by_inverse_layer_idx = false } = config;
  // The root is rounded to a float, as on a device.
  const scale = scale_attn_weights ? 1 / Math.fround(Math.sqrt(n_embd / n_head)) : 1;
  return scale_attn_by_inverse_layer_idx ? scale / (l + 1) : scale;
}

/** The matrices that can have an adapter: those of a block, and the head. */
export const TARGETS = ["q", "k", "v", "o", "fc", "proj", "head"] as const;
/**
 * `TARGETS`, `c_attn`: one adapter for q, k and v together, as in PEFT, and `wte`: the token table of a classifier. A
 * Llama-type model has `gate` and `up` instead of `fc`, and `down` instead of `proj`.
 */
const ALL_TARGETS = [...TARGETS, "c_attn", "wte", "gate", "up", "down"] as const;
/** The name of a matrix that can have an adapter. */
export type Target = (typeof ALL_TARGETS)[number];

/** Whether every block has such a matrix. */
export const isInBlocks = (target: Target) => target !== "head" && target !== "wte";

/** Compute devices. */
export const DEVICES = ["auto", "webgpu", "wasm"] as const;
/** The name of a compute device, or of one of several GPUs by its index or a part of its name: see `openDevice`. */
export type DeviceName = (typeof DEVICES)[number] | `webgpu:${string}`;

/** Which of several GPUs a device's name names; undefined: none of them. */
export const namedAdapter = (device: DeviceName): string | undefined => /^webgpu:(.+)/s.exec(device)?.[1];

/** Returns the name of a device. Throws ConfigError, which suggests the nearest one, for any other text. */
export function parseDevice(name: string): DeviceName {
  if (namedAdapter(name as DeviceName) !== undefined) return name as DeviceName;
  return parseChoice("device", name, [...DEVICES, "webgpu:NAME"]);
}

/** Data type of the frozen matrices. Trainable parameters and all arithmetic are in f32. */
export const WEIGHT_DTYPES = ["f32", "f16", "q8", "q4"] as const;
/** The type of the frozen matrices: `f32`, `f16`, `q8` (8 bits in blocks of 32) or `q4` (4-bit NF4 in blocks of 64). */
export type WeightDtype = (typeof WEIGHT_DTYPES)[number];

/** Maximum number of batches per step: their results stay on the device until the host reads them. */
export const MAX_ACCUMULATE = 16;

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

/**
 * Initialization of a classifier's head (its bias is 0): zeros, so that no class is likelier than another, `normal`
 * N(0, .02^2) as in transformers, `uniform` U(+-1/sqrt(C)) as PyTorch's nn.Linear and the published program.
 */
export const HEAD_INITS = ["zeros", "normal", "uniform"] as const;
/** The name of an initialization of the head. */
export type HeadInit = (typeof HEAD_INITS)[number];

/**
 * What a message is classified by: the mean of its tokens' outputs; the output of its last token, as transformers'
 * classes do; or that of the last position of the padded row, as the published program does.
 */
export const POOLINGS = ["mean", "last-token", "last"] as const;
/** What a message is classified by: `mean`, `last-token` or `last`. */
export type Pooling = (typeof POOLINGS)[number];

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

/** The most tokens of a text: the context less the virtual tokens. Throws ConfigError if that leaves no room. */
export function textContext(
  { n_positions }: Pick<ModelConfig, "n_positions">,
  { num_virtual_tokens = 0 }: { num_virtual_tokens?: number },
  where?: string,
): number {
  if (num_virtual_tokens < n_positions) return n_positions - num_virtual_tokens;
  throw new ConfigError("too-many-virtual-tokens", "the virtual tokens leave no room for a text", {
    ...(where === undefined ? {} : { where }),
    expected: `fewer than the model's context of ${n_positions} tokens`,
    found: String(num_virtual_tokens),
    hint: "common numbers are 5 to 100",
  });
}

/**
 * The longest message or block, in tokens, unless a length is given: GPT-2's context, also where a model's is longer.
 */
export const usualLength = ({ n_positions }: Pick<ModelConfig, "n_positions"> = { n_positions: 1024 }): number =>
  Math.min(n_positions, 1024);

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

/** Throws ConfigError if `config` is invalid. `where` is the source of its values. */
export function validateLora(config: LoraConfig, where?: string): void {
  const place = where === undefined ? {} : { where };
  checkNumber("rank", config.r, RANKS, where);
  checkNumber("alpha", config.lora_alpha, ALPHAS, where);
  checkNumber("dropout", config.lora_dropout ?? 0, DROPOUTS, where);
  parseChoice("scaling", config.scaling, SCALINGS, where);
  parseChoice("init", config.init, INITS, where);
  for (const target of config.target_modules) parseChoice("target module", target, ALL_TARGETS, where);
  if (config.target_modules.length === 0)
    throw new ConfigError("invalid-lora-config", "target_modules is empty", {
      ...place,
      expected: `one or more of ${ALL_TARGETS.join(", ")}`,
    });
  if (new Set(config.target_modules).size !== config.target_modules.length)
    throw new ConfigError("invalid-lora-config", "target_modules has duplicates", {
      ...place,
      found: config.target_modules.join(", "),
    });
  const apart = config.target_modules.filter((target) => target === "q" || target === "k" || target === "v");
  if (config.target_modules.includes("c_attn") && apart.length > 0)
    throw new ConfigError("invalid-lora-config", "target_modules names a matrix twice", {
      ...place,
      expected: "either c_attn, or any of q, k and v",
      found: config.target_modules.join(", "),
    });
  const outside = config.target_modules.find((target) => !isInBlocks(target));
  if (config.use_dora && outside)
    throw new ConfigError(
      "invalid-lora-config",
      `DoRA on the ${outside === "head" ? "head" : "token table"} is not supported`,
      {
        ...place,
        found: config.target_modules.join(", "),
        hint: `leave ${outside} out`,
      },
    );
  if (config.layers_to_transform !== undefined)
    validateLayers(config.layers_to_transform, config.target_modules, place);
}

/** `loraSites` checks the layers against the number of blocks. */
function validateLayers(layers: readonly number[], targets: readonly Target[], place: { where?: string }): void {
  const good = Array.isArray(layers) && layers.every((layer) => Number.isSafeInteger(layer) && layer >= 0);
  if (!good || layers.length === 0)
    throw new ConfigError("invalid-lora-config", "the layers with adapters are invalid", {
      ...place,
      expected: "a list of block numbers, from 0",
      found: show(layers),
    });
  if (layers.some((layer, i) => i > 0 && layer <= layers[i - 1]!))
    throw new ConfigError("invalid-lora-config", "the layers with adapters are not in strictly ascending order", {
      ...place,
      found: layers.join(", "),
    });
  if (!targets.some(isInBlocks))
    throw new ConfigError("invalid-lora-config", "layers are given, but no target is part of a block", {
      ...place,
      found: targets.join(", "),
    });
}

/** Maximum number of blocks that is accepted from a file or a flag. GPT-2 XL has 48. */
const MAX_LAYERS = 1024;

const SIZES = ["vocab_size", "n_positions", "n_layer", "n_head", "n_embd"] as const;

/** Keys that change the computation, with their defaults; reorder_and_upcast_attn only reorders float32 operations. */
const SWITCHES = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  reorder_and_upcast_attn: false,
  tie_word_embeddings: true,
} as const;

/** The numbers of each scaling of rotary positions, in their order. */
export const ROPE_SCALINGS = {
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
} as const satisfies {
  [K in RopeScaling["rope_type"]]: readonly Exclude<keyof Extract<RopeScaling, { rope_type: K }>, "rope_type">[];
};

/** The kinds of its values. */
const FIELDS = {
  ...fields(SIZES, "size"),
  ...fields(Object.keys(SWITCHES), "boolean?"),
  ...{ layer_norm_epsilon: "positive", n_inner: "size?", n_kv_head: "size?", rope: "object?" },
} as const satisfies Fields;

/** Fields of one kind. */
function fields<Kind extends string>(keys: readonly string[], kind: Kind): Record<string, Kind> {
  return Object.fromEntries(keys.map((key) => [key, kind]));
}

/** Where a config is read from, for errors: the file, and what it calls a key. */
interface Source {
  where: string;
  named: (key: string) => string;
}

/**
 * Reads the parsed text of a GPT-2's config.json, or the same keys of another model. `where` is the file name for
 * errors, `named` the file's name of a key. Throws FormatError for missing keys and wrong types, ConfigError for an
 * unsupported model.
 */
export function parseConfig(json: unknown, where: string, named: Source["named"] = (key) => key): ModelConfig {
  if (!isObject(json))
    throw new FormatError("invalid-model-config", "the model config is not a JSON object", {
      where,
      found: show(json),
    });
  const values = withoutNulls(json);
  // First: another architecture has other keys.
  const architecture = values.model_type ?? "gpt2";
  const llama = LLAMA_TYPES.find((type) => type === architecture);
  if (architecture !== "gpt2" && !llama)
    throw new ConfigError("unsupported-architecture", `the architecture ${show(architecture)} is not supported`, {
      where,
      expected: `a model_type of ${["gpt2", ...LLAMA_TYPES].join(", ")}`,
      found: show(architecture),
      hint: "use a GPT-2, or a Llama-type model such as SmolLM2, TinyLlama, Llama 3.2 or Qwen2.5",
    });
  const required = [...SIZES, "layer_norm_epsilon"];
  const missing = required.filter((key) => values[key] === undefined).map(named);
  if (missing.length > 0)
    throw new FormatError("invalid-model-config", `the model config lacks ${missing.join(", ")}`, {
      where,
      expected: required.map(named).join(", "),
      found: Object.keys(values).map(named).join(", ") || "no keys",
      hint: "give the config.json of a model in Hugging Face format",
    });
  const source = { where, named };
  checkKinds(values, FIELDS, where, { code: "invalid-model-config", named });
  const { vocab_size, n_positions, n_layer, n_head, n_embd, layer_norm_epsilon } = values as unknown as ModelConfig;
  if (n_layer > MAX_LAYERS)
    throw new FormatError("invalid-model-config", `${named("n_layer")} is too large`, {
      where,
      expected: `at most ${MAX_LAYERS}`,
      found: show(n_layer),
    });
  const { add_cross_attention = false } = values;
  if (add_cross_attention !== false)
    throw new ConfigError(
      "unsupported-model-config",
      `add_cross_attention = ${show(add_cross_attention)} is not supported`,
      {
        where,
        expected: "false",
        hint: "use a model without an encoder: its decoder cannot run alone",
      },
    );
  const config = {
    ...{ vocab_size, n_positions, n_layer, n_head, n_embd, layer_norm_epsilon },
    ...readOptionalKeys(values as Partial<ModelConfig>, n_embd, where),
    ...(llama ? { model_type: llama, ...readLlamaKeys(values as unknown as ModelConfig, source) } : {}),
  };
  checkWidths(config, source);
  return config;
}

/** The optional keys that differ from their defaults. Throws ConfigError for an unknown activation. */
function readOptionalKeys(values: Partial<ModelConfig>, width: number, where: string): Partial<ModelConfig> {
  const options: Partial<ModelConfig> = {};
  const { reorder_and_upcast_attn: _, ...switches } = SWITCHES;
  for (const [key, usual] of Object.entries(switches) as [keyof typeof switches, boolean][]) {
    const value = values[key] ?? usual;
    if (value !== usual) options[key] = value;
  }
  const { n_inner = 4 * width } = values;
  if (n_inner !== 4 * width) options.n_inner = n_inner;
  const activation: unknown = values.activation_function ?? "gelu_new";
  const known = activation === "gelu_pytorch_tanh" ? "gelu_new" : ACTIVATIONS.find((one) => one === activation);
  if (known === undefined)
    throw new ConfigError("unsupported-model-config", `activation_function = ${show(activation)} is not supported`, {
      where,
      expected: `one of ${ACTIVATIONS.join(", ")}, gelu_pytorch_tanh`,
      hint: "use a model with one of these: its weights fit only the activation that they were trained with",
    });
  if (known !== "gelu_new") options.activation_function = known;
  return options;
}

/** The keys that only Llama-type models have. Throws FormatError. */
function readLlamaKeys(values: ModelConfig, { where, named }: Source): Partial<ModelConfig> {
  const { n_head, n_kv_head = n_head, rope = {} } = values;
  const check = (place: string, record: object, kinds: Fields) =>
    checkKinds(record, kinds, where, { code: "invalid-model-config", named: (part) => named(place + part) });
  const divides: Kind = [`a divisor of ${n_head}, the number of heads`, () => n_head % n_kv_head === 0];
  check("", { n_kv_head }, { n_kv_head: divides });
  check("rope.", rope, { theta: "positive", scaling: "object?" });
  const { theta, scaling } = rope as NonNullable<ModelConfig["rope"]>;
  if (scaling) {
    const numbers: readonly string[] | undefined = lookUp(ROPE_SCALINGS, scaling.rope_type);
    check("rope.scaling.", scaling, {
      rope_type: [Object.keys(ROPE_SCALINGS).join(", "), () => numbers !== undefined],
    });
    check("rope.scaling.", scaling, fields(numbers!, "positive"));
  }
  return { ...(n_kv_head === n_head ? {} : { n_kv_head }), rope: { theta, ...(scaling && { scaling }) } };
}

function checkWidths(config: ModelConfig, { where, named }: Source): void {
  const { n_embd, n_head } = config;
  const [width, heads] = [named("n_embd"), named("n_head")];
  if (n_embd % n_head !== 0)
    throw new ConfigError("unsupported-model-config", `${width} is not a multiple of ${heads}`, {
      where,
      expected: `a multiple of ${n_head}`,
      found: String(n_embd),
    });
  // The kernels read four floats at a time along these widths.
  for (const [what, size] of [
    [width, n_embd],
    [`the width of a head (${width} / ${heads})`, n_embd / n_head],
    [named("n_inner"), innerWidth(config)],
  ] as const)
    if (size % 4 !== 0)
      throw new ConfigError("unsupported-model-config", `${what} is not a multiple of 4`, {
        where,
        expected: "a multiple of 4",
        found: String(size),
        hint: "use a model of another width: the kernels process four values at a time",
      });
}
