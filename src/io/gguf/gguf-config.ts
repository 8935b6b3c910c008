/** The config.json that transformers has for the model of a GGUF file. */
import { ConfigError, FormatError } from "../../core/errors.ts";
import { formatShape } from "../../core/tensor.ts";
import { checkShape, type TensorFile } from "../safetensors/tensor-file.ts";
import { sameValues } from "../tied-head.ts";
import type { GgufHeader, GgufValue } from "./gguf.ts";
import type { Architecture } from "./gguf-architectures.ts";
import { llama3Scaling } from "./gguf-rope.ts";

export const TOKEN_TABLE = "token_embd.weight";
export const HEAD = "output.weight";
const TYPE_TABLE = "token_types.weight";
/** The frequencies of rotary positions that Llama 3 stretches, as factors of their wavelengths. */
export const ROPE_FREQS = "rope_freqs.weight";

type Json = Record<string, unknown>;

/** The sources of a config. */
interface Described {
  name: string;
  architecture: Architecture;
  header: GgufHeader;
  /** The tensors, by the file's names and in its order. */
  file: TensorFile;
  where: string;
}

/**
 * Makes the config. Throws FormatError for metadata that is missing, or that the tensors contradict; ConfigError for
 * what is not supported, which includes every key of the architecture that is not known here: it may change what the
 * model computes.
 */
export async function makeConfig(described: Described): Promise<Json> {
  const { name, architecture, header, where } = described;
  const files = header.metadata.get("split.count") ?? 1;
  if (files !== 1 && files !== 0)
    throw new ConfigError("missing-shards", "the model is in several GGUF files", {
      where,
      expected: "one file",
      found: `split.count = ${JSON.stringify(files).slice(0, 100)}`,
      hint: "join them, from the first one: llama-gguf-split --merge FIRST.gguf JOINED.gguf",
    });
  const keys = new OwnKeys(header.metadata, name, where);
  const config: Json = { model_type: name };
  for (const [key, theirs] of Object.entries(architecture.keys))
    config[theirs] = shortest(keys.number(key, architecture.defaults[key]));
  const table = header.tensors.get(TOKEN_TABLE);
  if (!table) throw new FormatError("wrong-tensors", `the model file lacks ${TOKEN_TABLE}`, { where });
  const vocab_size = keys.number("vocab_size", table.shape[0]);
  if (vocab_size !== table.shape[0])
    throw new FormatError("invalid-gguf", `${name}.vocab_size and ${TOKEN_TABLE} differ`, {
      where,
      expected: `${vocab_size} rows`,
      found: formatShape(table.shape),
    });
  for (const token of ["bos", "eos"]) {
    const id = header.metadata.get(`tokenizer.ggml.${token}_token_id`);
    // Anything else is reported with the vocabulary.
    if (typeof id === "number") config[`${token}_token_id`] = id;
  }
  if (architecture.isLlama) Object.assign(config, await llamaKeys(keys, config, described));
  const types = header.tensors.get(TYPE_TABLE);
  if (types) config.type_vocab_size = types.shape[0];
  keys.refuseOthers(architecture.unread);
  return { ...config, vocab_size, tie_word_embeddings: await isTied(described) };
}

/** The keys of Llama-type models that are derived. */
async function llamaKeys(own: OwnKeys, config: Json, { header, file, where }: Described): Promise<Json> {
  const { tensors } = header;
  const usual = (config.hidden_size as number) / (config.num_attention_heads as number);
  const width = own.number("attention.key_length", usual);
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const value = own.number(key, width);
    if (value !== width) throw own.unsupported(key, value, `${width}, the width of a head`);
  }
  const factors = tensors.get(ROPE_FREQS);
  if (factors) checkShape(ROPE_FREQS, factors.shape, [width / 2], where, "take the model's file from elsewhere");
  const scaling = factors
    ? llama3Scaling(await file.readF32(ROPE_FREQS), config.rope_theta as number, where)
    : ropeScaling(own);
  return {
    num_key_value_heads: own.number("attention.head_count_kv", config.num_attention_heads as number),
    ...(width === usual ? {} : { head_dim: width }),
    ...(scaling ? { rope_scaling: scaling } : {}),
    // Qwen2 always has them.
    ...(tensors.has("blk.0.attn_q.bias") && config.model_type === "llama" ? { attention_bias: true } : {}),
  };
}

function ropeScaling(own: OwnKeys): Json | undefined {
  // As in llama.cpp: a factor alone is linear.
  const type = own.text("rope.scaling.type", "linear");
  const factor = own.number("rope.scaling.factor", 1);
  if (type === "none" || (type === "linear" && factor === 1)) return undefined;
  if (type !== "linear") throw own.unsupported("rope.scaling.type", type, "none or linear");
  return { rope_type: type, factor: shortest(factor) };
}

/** Whether the head of a language model is the token table: the file has none, or a copy, as older files of GPT-2. */
async function isTied({ header, file }: Described): Promise<boolean> {
  if (!header.tensors.has(HEAD)) return true;
  return sameValues({ file, key: HEAD }, { file, key: TOKEN_TABLE });
}

/** The metadata of the file's architecture, by its keys without the architecture's name. */
class OwnKeys {
  private readonly values: Map<string, GgufValue>;
  private readonly used = new Set<string>();

  constructor(
    metadata: ReadonlyMap<string, GgufValue>,
    private readonly name: string,
    private readonly where: string,
  ) {
    const ofFamily = [...metadata].filter(([key]) => key.startsWith(`${name}.`));
    this.values = new Map(ofFamily.map(([key, value]) => [key.slice(name.length + 1), value]));
  }

  /** A number above 0. Throws FormatError for anything else, and where there is no default if it is missing. */
  number(key: string, usual?: number): number {
    const value = this.take(key) ?? usual;
    if (typeof value === "number" && value > 0 && value < Infinity) return value;
    throw this.invalid(key, "a number above 0", value);
  }

  text(key: string, usual: string): string {
    const value = this.take(key) ?? usual;
    if (typeof value === "string") return value;
    throw this.invalid(key, "a text", value);
  }

  private take(key: string): GgufValue | undefined {
    this.used.add(key);
    return this.values.get(key);
  }

  private invalid(key: string, expected: string, value: GgufValue | undefined): FormatError {
    return new FormatError("invalid-gguf", `${this.name}.${key} is ${value === undefined ? "missing" : "invalid"}`, {
      where: this.where,
      expected,
      ...(value === undefined ? {} : { found: JSON.stringify(value).slice(0, 100) }),
    });
  }

  unsupported(key: string, value: GgufValue, expected: string): ConfigError {
    return new ConfigError(
      "unsupported-model-config",
      `${this.name}.${key} = ${JSON.stringify(value).slice(0, 100)} is not supported`,
      {
        where: this.where,
        expected,
        hint: "use a model without it: its weights fit only the computation that they were trained with",
      },
    );
  }

  /** Throws ConfigError for a key that nothing has asked for, unless it turns off what it is about. */
  refuseOthers(unread: readonly string[] = []): void {
    for (const [key, value] of this.values)
      if (!this.used.has(key) && !unread.includes(key) && value !== 0 && value !== false)
        throw this.unsupported(key, value, "no such key");
  }
}

/** The number with the fewest digits that rounds to the same f32: 1e-5 is stored as 9.99999974e-6. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
