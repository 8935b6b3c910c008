/** Reads the vocabulary of a model from the metadata of a GGUF file. */

import { checkKinds, lookUp } from "../../checks.ts";
import { FormatError } from "../../errors.ts";
import { PRETOKENIZERS, type Pretokenizer } from "./pretokenizers.ts";
import { refuse } from "./steps.ts";
import { listedVocabulary, namedTexts } from "./tokenizer-files.ts";
import { BYTE_LEVEL, type Listed } from "./tokenizer-json.ts";
import type { NamedToken, Vocabulary } from "./vocabulary.ts";

/** Types of tokens that are found before a text is split into words. */
export const CONTROL = 3;
export const USER_DEFINED = 4;
/** The type of tokens that no text contains. */
export const UNUSED = 5;

/** The text of an id that only fills the token table. */
export const padding = (id: number) => `[PAD${id}]`;

type Metadata = ReadonlyMap<string, unknown>;

const FIELDS = {
  "tokenizer.ggml.tokens": "texts",
  "tokenizer.ggml.merges": "texts",
  "tokenizer.ggml.add_bos_token": "boolean?",
  "tokenizer.ggml.add_eos_token": "boolean?",
  "tokenizer.ggml.bos_token_id": "count?",
  "tokenizer.ggml.eos_token_id": "count?",
  "tokenizer.ggml.unknown_token_id": "finite?",
  "tokenizer.ggml.padding_token_id": "finite?",
  "tokenizer.chat_template": "text?",
} as const;

/**
 * The vocabulary that `tokenizer.ggml.*` and `tokenizer.chat_template` describe. `metadata`: the file's, with arrays as
 * arrays or typed arrays. Throws ConfigError for a tokenizer of another kind, FormatError for damaged metadata.
 */
export async function readGgufVocabulary(metadata: Metadata, where: string): Promise<Vocabulary> {
  const { listed, named } = listGgufTokens(metadata, where);
  const vocabulary = await listedVocabulary(listed, undefined, named, null);
  const template = metadata.get("tokenizer.chat_template") as string | undefined;
  return template === undefined ? vocabulary : { ...vocabulary, chat: { template, tokens: namedTexts(named) } };
}

/** What the metadata say of the tokens, and the texts of those that are named: `eos_token`, ... Throws as above. */
export function listGgufTokens(
  metadata: Metadata,
  where: string,
): { listed: Listed; named: Record<string, string | undefined> } {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const kind = get("model");
  if (kind !== "gpt2") refuse(where, BYTE_LEVEL, `tokenizer.ggml.model ${JSON.stringify(kind) ?? "not given"}`);
  const pretokenizer = findPretokenizer(metadata, where);
  checkKinds(Object.fromEntries(metadata), FIELDS, where);
  if (get("add_eos_token") === true) refuse(where, "tokenizer.ggml.add_eos_token = false", "true");
  const texts = get("tokens") as string[];
  const types = Array.from((get("token_type") ?? texts.map(() => 0)) as ArrayLike<number>);
  if (types.length !== texts.length || !types.every(Number.isInteger))
    throw new FormatError("invalid-field", "tokenizer.ggml.token_type is invalid", {
      where,
      expected: `a list of ${texts.length} whole numbers`,
    });
  const tokens: Record<string, number> = Object.create(null);
  for (const [id, text] of texts.entries()) if (types[id] !== UNUSED || text !== padding(id)) tokens[text] = id;
  const added = texts.flatMap((content, id) => {
    const special = types[id] === CONTROL;
    return special || types[id] === USER_DEFINED ? [{ id, content, special, normalized: false }] : [];
  });
  const byKey = (key: string): NamedToken | null => {
    const id = get(`${key}_token_id`) as number;
    const text = texts[id];
    // As in llama.cpp: some files have an id of no token to say that there is none.
    return text === undefined ? null : { id, text };
  };
  const names = { bos: "bos", eos: "eos", unk: "unknown", pad: "padding" };
  const named = Object.fromEntries(Object.entries(names).map(([name, key]) => [`${name}_token`, byKey(key)?.text]));
  // As in llama.cpp: what a tokenizer.json has in addition to its pattern follows from the pattern's name.
  const isLlama3 = pretokenizer === "llama-bpe";
  const listed: Listed = {
    tokens,
    merges: get("merges") as string[],
    added,
    pretokenizer,
    normalizes: pretokenizer === "qwen2",
    ignoresMerges: isLlama3,
    begin: (get("add_bos_token") ?? isLlama3) === true ? byKey("bos") : null,
    where,
  };
  return { listed, named };
}

function findPretokenizer(metadata: Metadata, where: string): Pretokenizer {
  // Files of older versions do not name it; GPT-2's has no other.
  const isGpt2 = metadata.get("general.architecture") === "gpt2";
  const name = metadata.get("tokenizer.ggml.pre") ?? (isGpt2 ? "gpt-2" : undefined);
  if (lookUp(PRETOKENIZERS, name)) return name as Pretokenizer;
  return refuse(
    where,
    `tokenizer.ggml.pre of one of: ${Object.keys(PRETOKENIZERS).join(", ")}`,
    JSON.stringify(name) ?? "not given",
  );
}
