/** Reads and checks the config.json of a GPT-2, or a model's description by the same keys. */
import {
  checkKinds,
  type Fields,
  inRange,
  isObject,
  type Kind,
  lookUp,
  optional,
  show,
  withoutNulls,
} from "../checks.ts";
import { ACTIVATIONS, innerWidth, MAX_LAYERS, MODEL_TYPES, type ModelConfig, type RopeScaling } from "../config.ts";
import { ConfigError, FormatError } from "../errors.ts";

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
  ...{ use_parallel_residual: "boolean?" },
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
  if (!lookUp(MODEL_TYPES, architecture))
    throw new ConfigError("unsupported-architecture", `the architecture ${show(architecture)} is not supported`, {
      where,
      expected: `a model_type of ${Object.keys(MODEL_TYPES).join(", ")}`,
      found: show(architecture),
      hint: "use a GPT-2, a Llama-type model such as SmolLM2, Llama 3.2 or Qwen2.5, or a GPT-NeoX such as Pythia",
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
    ...readOptionalKeys(values as Partial<ModelConfig>, n_embd, source),
    ...(architecture === "gpt2" ? {} : readRotaryKeys(values as unknown as ModelConfig, source)),
  };
  checkWidths(config, source);
  return config;
}

/** The optional keys that differ from their defaults. Throws ConfigError for an unknown activation. */
function readOptionalKeys(values: Partial<ModelConfig>, width: number, { where, named }: Source): Partial<ModelConfig> {
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
    throw new ConfigError(
      "unsupported-model-config",
      `${named("activation_function")} = ${show(activation)} is not supported`,
      {
        where,
        expected: `one of ${ACTIVATIONS.join(", ")}, gelu_pytorch_tanh`,
        hint: "use a model with one of these: its weights fit only the activation that they were trained with",
      },
    );
  if (known !== "gelu_new") options.activation_function = known;
  return options;
}

/** The keys that only models with rotary positions have. Throws FormatError. */
function readRotaryKeys(values: ModelConfig, { where, named }: Source): Partial<ModelConfig> {
  const { model_type, n_head, n_embd, n_kv_head = n_head, rope = {}, use_parallel_residual = true } = values;
  const check = (place: string, record: object, kinds: Fields) =>
    checkKinds(record, kinds, where, { code: "invalid-model-config", named: (part) => named(place + part) });
  const divides: Kind = [`a divisor of ${n_head}, the number of heads`, () => n_head % n_kv_head === 0];
  check("", { n_kv_head }, { n_kv_head: divides });
  const dimsRange = inRange({ min: 1, max: n_embd / n_head, whole: true });
  check("rope.", rope, { theta: "positive", dims: optional(dimsRange), scaling: "object?" });
  const { theta, dims, scaling } = rope as NonNullable<ModelConfig["rope"]>;
  if (scaling) {
    const numbers: readonly string[] | undefined = lookUp(ROPE_SCALINGS, scaling.rope_type);
    check("rope.scaling.", scaling, {
      rope_type: [Object.keys(ROPE_SCALINGS).join(", "), () => numbers !== undefined],
    });
    check("rope.scaling.", scaling, fields(numbers!, "positive"));
  }
  return {
    model_type: model_type!,
    ...(n_kv_head === n_head ? {} : { n_kv_head }),
    rope: { theta, ...(dims && { dims }), ...(scaling && { scaling }) },
    ...(use_parallel_residual ? {} : { use_parallel_residual }),
  };
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
    ["the rotated part of a head", config.rope?.dims ?? 0],
  ] as const)
    if (size % 4 !== 0)
      throw new ConfigError("unsupported-model-config", `${what} is not a multiple of 4`, {
        where,
        expected: "a multiple of 4",
        found: String(size),
        hint: "use a model of another width: the kernels process four values at a time",
      });
}
