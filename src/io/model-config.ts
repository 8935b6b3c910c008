/** Reads and checks the config.json of a GPT-2, or a model's description by the same keys. */
import { checkKinds, type Fields, inRange, type Kind, lookUp, show, withoutNulls } from "../core/checks.ts";
import {
  ACTIVATIONS,
  innerWidth,
  isEncoder,
  MAX_LAYERS,
  MODEL_TYPES,
  type ModelConfig,
  type RopeScaling,
} from "../core/config.ts";
import { ConfigError, FormatError } from "../core/errors.ts";

/** Keys that change the computation, with their defaults. */
const SWITCHES = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  tie_word_embeddings: true,
  use_parallel_residual: true,
} as const;

/** The kinds of the values that a model must have. */
const REQUIRED = {
  ...fields(["vocab_size", "n_positions"], "size"),
  n_layer: inRange({ min: 1, max: MAX_LAYERS, whole: true }),
  ...fields(["n_head", "n_embd"], "size"),
  layer_norm_epsilon: "positive",
} as const satisfies Fields;

/** The kinds of all values. */
const FIELDS: Fields = {
  ...REQUIRED,
  ...fields(Object.keys(SWITCHES), "boolean?"),
  n_inner: "size?",
  n_kv_head: "size?",
  rope: "object?",
};

function fields<Kind extends string>(keys: readonly string[], kind: Kind): Record<string, Kind> {
  return Object.fromEntries(keys.map((key) => [key, kind]));
}

/** The numbers of each scaling of rotary positions, in their order. */
export const ROPE_SCALINGS = {
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
} as const satisfies {
  [K in RopeScaling["rope_type"]]: readonly Exclude<keyof Extract<RopeScaling, { rope_type: K }>, "rope_type">[];
};

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
  const what = "the model config";
  checkKinds({ [what]: json }, { [what]: "object" }, where, { code: "invalid-model-config" });
  const values = withoutNulls(json as object);
  // First: another architecture has other keys.
  const architecture = values.model_type ?? "gpt2";
  if (!lookUp(MODEL_TYPES, architecture))
    throw new ConfigError("unsupported-architecture", `the architecture ${show(architecture)} is not supported`, {
      where,
      expected: `a model_type of ${Object.keys(MODEL_TYPES).join(", ")}`,
      hint: "use a GPT-2, SmolLM2, Llama 3.2, Qwen2.5, Pythia, or a BERT or RoBERTa such as multilingual-e5-small",
    });
  const required = Object.keys(REQUIRED);
  const missing = required.filter((key) => values[key] === undefined).map(named);
  if (missing.length > 0)
    throw new FormatError("invalid-model-config", `the model config lacks ${missing.join(", ")}`, {
      where,
      hint: "give the config.json of a model in Hugging Face format",
    });
  const source = { where, named };
  checkKinds(values, FIELDS, where, { code: "invalid-model-config", named });
  const checked = values as unknown as ModelConfig;
  const { add_cross_attention = false } = values;
  if (add_cross_attention !== false)
    throw unsupported("add_cross_attention", add_cross_attention, where, "false: a decoder without an encoder");
  const config = {
    ...Object.fromEntries(required.map((key) => [key, values[key]])),
    ...readOptionalKeys(checked, source),
    ...(architecture === "gpt2" ? {} : (isEncoder(checked) ? readEncoderKeys : readRotaryKeys)(checked, source)),
  } as ModelConfig;
  checkWidths(config, source);
  return config;
}

/** The optional keys that differ from their defaults. Throws ConfigError for an unknown activation. */
function readOptionalKeys(values: ModelConfig, { where, named }: Source): Partial<ModelConfig> {
  const options: Partial<ModelConfig> = {};
  for (const [key, usual] of Object.entries(SWITCHES) as [keyof typeof SWITCHES, boolean][]) {
    const value = values[key] ?? usual;
    if (value !== usual) options[key] = value;
  }
  const { n_inner, n_embd } = values;
  if (n_inner && n_inner !== 4 * n_embd) options.n_inner = n_inner;
  const activation: unknown = values.activation_function ?? "gelu_new";
  const known = activation === "gelu_pytorch_tanh" ? "gelu_new" : ACTIVATIONS.find((one) => one === activation);
  if (known === undefined)
    throw unsupported(
      named("activation_function"),
      activation,
      where,
      `one of ${ACTIVATIONS.join(", ")}, gelu_pytorch_tanh`,
    );
  if (known !== "gelu_new") options.activation_function = known;
  return options;
}

/** The keys that only encoders have. Throws FormatError. */
function readEncoderKeys({ model_type, type_vocab_size }: ModelConfig, { where, named }: Source): Partial<ModelConfig> {
  checkKinds({ type_vocab_size }, { type_vocab_size: "size" }, where, { code: "invalid-model-config", named });
  return { model_type: model_type!, type_vocab_size: type_vocab_size! };
}

/** The keys that only models with rotary positions have. Throws FormatError. */
function readRotaryKeys(values: ModelConfig, { where, named }: Source): Partial<ModelConfig> {
  const { model_type, n_head, n_kv_head = n_head, rope = {} } = values;
  const check = (place: string, record: object, kinds: Fields) =>
    checkKinds(record, kinds, where, { code: "invalid-model-config", named: (part) => named(place + part) });
  const divides: Kind = [`a divisor of ${n_head}, the number of heads`, () => n_head % n_kv_head === 0];
  check("", { n_kv_head }, { n_kv_head: divides });
  check("rope.", rope, { theta: "positive", dims: "size?", scaling: "object?" });
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
  };
}

function checkWidths(config: ModelConfig, { where, named }: Source): void {
  const { n_embd, n_head, rope } = config;
  const check = (what: string, size: number, by = 4, why = "the kernels process four values at a time") => {
    if (size % by !== 0) throw unsupported(what, size, where, `a multiple of ${by}: ${why}`);
  };
  const [width, heads] = [named("n_embd"), named("n_head")];
  check(width, n_embd, n_head, heads);
  check(width, n_embd);
  check(`the width of a head (${width} / ${heads})`, n_embd / n_head);
  check(named("n_inner"), innerWidth(config));
  check("the rotated part of a head", rope?.dims ?? 0);
}

/** The error for what is valid and not supported. */
export function unsupported(
  key: string,
  value: unknown,
  where: string,
  expected: string,
  hint = "use another model: its weights fit only what they were trained with",
): ConfigError {
  return new ConfigError("unsupported-model-config", `${key} = ${show(value)} is not supported`, {
    where,
    expected,
    hint,
  });
}
