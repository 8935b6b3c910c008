/** The vocabulary of a model's `Tokenizer`: tokenizer-files.ts reads it, vocabulary-tables.ts builds its tables. */

import type { ModelConfig } from "../../core/config.ts";
import { ConfigError } from "../../core/errors.ts";
import type { Kind } from "./parts.ts";
import type { Pretokenizer } from "./pretokenizers.ts";

/** A token with a meaning of its own. */
export interface NamedToken {
  readonly id: number;
  readonly text: string;
}

/** A model's chat template, which is Jinja, and the tokens that it can name: `bos_token`, `eos_token`, ... */
export interface ChatTemplate {
  readonly template: string;
  readonly tokens: Readonly<Record<string, string>>;
}

/** The vocabulary of a model, for its `Tokenizer`. */
export interface Vocabulary {
  /** "gpt2", or a SHA-256: vocabularies with the same one give a text the same ids, special tokens aside. */
  readonly fingerprint: string;
  readonly size: number;
  /** The token that separates documents, ends a generated text, replaces an empty one, and pads. */
  readonly end: NamedToken;
  /** The token that is put before every text, as Llama 3's and BERT's [CLS]; null: none. */
  readonly begin: NamedToken | null;
  /** Whether `end` is behind every text, as BERT's [SEP]; how often it is between the texts of a pair. */
  readonly closes: boolean;
  readonly separators: number;
  /** Put before every text that a model of texts reads, "query: "; "": nothing. */
  readonly prompt: string;
  /** Makes one text of the messages of a chat; null: the model has no template. */
  readonly chat: ChatTemplate | null;
  /** The tables for data.wasm; null: GPT-2's, which are built in. */
  readonly tables: Uint8Array | null;
  /** Whether a long text must not be encoded in parts, because white space belongs to an added token. */
  readonly isWhole: boolean;
  /** How the texts of a BPE are split into words. */
  readonly pretokenizer: Pretokenizer;
  readonly kind: Kind;
  /** The steps of the normalizer that the host does; null: data.wasm does it. */
  readonly steps: readonly (((text: string) => string) | null)[];
  /** Whether most letters of a text are in no token, as of another script; null: it has all bytes. */
  readonly lacks: ((text: string) => boolean) | null;
  /** The text of tokens of WordPiece and Unigram; null: they are a BPE's bytes. */
  readonly join: ((pieces: readonly string[]) => string) | null;
}

export const GPT2_TABLES = "gpt2.tokenizer.bin";
export const GPT2_VOCABULARY: Vocabulary = {
  fingerprint: "gpt2",
  size: 50257,
  end: { id: 50256, text: "<|endoftext|>" },
  begin: null,
  closes: false,
  separators: 1,
  prompt: "",
  chat: null,
  tables: null,
  isWhole: false,
  pretokenizer: "gpt-2",
  kind: "bpe",
  steps: [],
  lacks: null,
  join: null,
};

/** A vocabulary's fingerprint, for messages. */
export function shortName(fingerprint: string): string {
  return fingerprint === GPT2_VOCABULARY.fingerprint ? "GPT-2's vocabulary" : `vocabulary ${fingerprint.slice(0, 12)}`;
}

/** Throws ConfigError if the model has no row for some ids. It may have more rows than ids. */
export function checkSize({ size }: Vocabulary, { vocab_size }: Pick<ModelConfig, "vocab_size">, where: string): void {
  if (size <= vocab_size) return;
  throw new ConfigError("wrong-vocabulary", "the tokenizer has more ids than the model", {
    where,
    expected: `at most ${vocab_size}, the vocab_size in config.json`,
    found: `${size} ids`,
    hint: "put the tokenizer's files of this model next to its config.json",
  });
}

/** Throws ConfigError unless an adapter has its base model's vocabulary: it reads only the ids it was trained with. */
export function checkFingerprint(where: string, base: string, adapter: string): void {
  if (base === adapter) return;
  throw new ConfigError("wrong-vocabulary", "the adapter was trained with another vocabulary than the base model's", {
    where,
    expected: shortName(base),
    found: shortName(adapter),
    hint: "give the base model that the adapter was trained on",
  });
}
