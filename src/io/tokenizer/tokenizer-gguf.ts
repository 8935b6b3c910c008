/** Reads the vocabulary of a model from the metadata of a GGUF file. */

import { checkKinds, lookUp } from "../../core/checks.ts";
import { FormatError } from "../../core/errors.ts";
import { PRETOKENIZERS, type Pretokenizer } from "./pretokenizers.ts";
import { CONTROL, type Json, refuse, UNUSED, USER_DEFINED } from "./steps.ts";
import { listedVocabulary, namedTexts } from "./tokenizer-files.ts";
import { BYTE_LEVEL, type Content, fromFast, type Listed } from "./tokenizer-json.ts";
import type { NamedToken, Vocabulary } from "./vocabulary.ts";

/** The text of an id that only fills the token table. */
export const padding = (id: number) => `[PAD${id}]`;

type Metadata = ReadonlyMap<string, unknown>;

/** The keys of tokens, by the names in tokenizer_config.json. */
const NAMES = {
  ...{ bos: "bos", eos: "eos", unk: "unknown", pad: "padding" },
  ...{ cls: "cls", sep: "seperator", mask: "mask" },
} as const;

const FIELDS = {
  "tokenizer.ggml.tokens": "texts",
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
  const { listed, named } = await listGgufTokens(metadata, where);
  const vocabulary = await listedVocabulary(listed, undefined, named, null);
  const template = metadata.get("tokenizer.chat_template") as string | undefined;
  return template === undefined ? vocabulary : { ...vocabulary, chat: { template, tokens: namedTexts(named) } };
}

/**
 * What the metadata say of the tokens, and the texts of those that are named: `eos_token`, ...; of a WordPiece or
 * Unigram model also its tokenizer.json. Throws as above.
 */
export async function listGgufTokens(
  metadata: Metadata,
  where: string,
): Promise<{ listed: Listed; named: Record<string, string | undefined>; json?: Json }> {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const kind = get("model");
  const isPieces = kind === "bert" || kind === "t5";
  if (kind !== "gpt2" && !isPieces)
    refuse(where, `${BYTE_LEVEL}, bert or t5`, `tokenizer.ggml.model ${JSON.stringify(kind) ?? "not given"}`);
  const pretokenizer = isPieces ? "gpt-2" : findPretokenizer(metadata, where);
  checkKinds(Object.fromEntries(metadata), isPieces ? FIELDS : { ...FIELDS, "tokenizer.ggml.merges": "texts" }, where);
  if (get("add_eos_token") === true && !isPieces) refuse(where, "tokenizer.ggml.add_eos_token = false", "true");
  const texts = get("tokens") as string[];
  const types = Array.from((get("token_type") ?? texts.map(() => 0)) as ArrayLike<number>);
  if (types.length !== texts.length || !types.every(Number.isInteger))
    throw new FormatError("invalid-field", "tokenizer.ggml.token_type is invalid", {
      where,
      expected: `a list of ${texts.length} whole numbers`,
    });
  const added = texts.flatMap((content, id): (Content & { id: number })[] => {
    const special = types[id] === CONTROL;
    return special || types[id] === USER_DEFINED ? [{ id, content, special, normalized: false }] : [];
  });
  const byKey = (key: string): NamedToken | null => {
    const id = get(`${key}_token_id`) as number;
    const text = texts[id];
    // As in llama.cpp: some files have an id of no token to say that there is none.
    return text === undefined ? null : { id, text };
  };
  const named = Object.fromEntries(Object.entries(NAMES).map(([name, key]) => [`${name}_token`, byKey(key)?.text]));
  if (isPieces) {
    const { makePieces } = await import("./pieces-gguf.ts");
    const frame = { begin: byKey("cls") ?? byKey("bos"), close: byKey(NAMES.sep) ?? byKey("eos") };
    const json = makePieces(kind, metadata, { texts, types, added, unknown: byKey("unknown"), ...frame }, where);
    return { listed: await fromFast(json, where), named, json };
  }
  const tokens: Record<string, number> = Object.create(null);
  for (const [id, text] of texts.entries()) if (types[id] !== UNUSED || text !== padding(id)) tokens[text] = id;
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
