/** Reads the vocabulary of a model from the metadata of a GGUF file. */
import { FormatError } from "../errors.ts";
import { checkKinds, isListOf, isText, lookUp, show } from "../kinds.ts";
import { LIMITS } from "./limits.ts";
import { PRETOKENIZERS, type Pretokenizer } from "./pretokenizers.ts";
import { listedVocabulary, namedTexts } from "./tokenizer-files.ts";
import { BYTE_LEVEL, type Listed, refuse } from "./tokenizer-json.ts";
import type { NamedToken, Vocabulary } from "./vocabulary.ts";

/** Types of tokens that are found before a text is split into words. */
export const CONTROL = 3;
export const USER_DEFINED = 4;
/** The type of tokens that no text contains. */
export const UNUSED = 5;

/** The text of an id that only fills the token table. */
export const padding = (id: number) => `[PAD${id}]`;

type Metadata = ReadonlyMap<string, unknown>;

/** Optional keys. */
const FIELDS = {
  "tokenizer.ggml.add_bos_token": "boolean?",
  "tokenizer.ggml.add_eos_token": "boolean?",
  "tokenizer.ggml.bos_token_id": "count?",
  "tokenizer.ggml.eos_token_id": "count?",
  "tokenizer.ggml.unknown_token_id": "number?",
  "tokenizer.ggml.padding_token_id": "number?",
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
  const texts = textList(metadata, "tokens", where);
  checkKinds(Object.fromEntries(metadata), FIELDS, where);
  if (get("add_eos_token") === true) refuse(where, "tokenizer.ggml.add_eos_token = false", "true");
  const tokens: Record<string, number> = Object.create(null);
  const types = tokenTypes(metadata, texts.length, where);
  for (const [id, text] of texts.entries()) if (types[id] !== UNUSED || text !== padding(id)) tokens[text] = id;
  const added = texts.flatMap((content, id) => {
    const special = types[id] === CONTROL;
    return special || types[id] === USER_DEFINED ? [{ id, content, special, normalized: false }] : [];
  });
  const byKey = (key: string): NamedToken | null => {
    const id = get(`${key}_token_id`) as number | undefined;
    if (id === undefined) return null;
    const text = texts[id];
    if (text !== undefined) return { id, text };
    // As in llama.cpp: some files have an id of no token to say that there is none.
    if (key === "unknown" || key === "padding") return null;
    throw new FormatError("invalid-field", `tokenizer.ggml.${key}_token_id is not the id of a token`, {
      where,
      expected: `one of ${texts.length} tokens`,
      found: String(id),
    });
  };
  const names = { bos: "bos", eos: "eos", unk: "unknown", pad: "padding" };
  const named = Object.fromEntries(Object.entries(names).map(([name, key]) => [`${name}_token`, byKey(key)?.text]));
  // As in llama.cpp: what a tokenizer.json has beside its pattern follows from the pattern's name.
  const isLlama3 = pretokenizer === "llama-bpe";
  const listed: Listed = {
    tokens,
    merges: textList(metadata, "merges", where),
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

/** The type of each token; none where the file does not tell. */
function tokenTypes(metadata: Metadata, tokens: number, where: string): ArrayLike<unknown> {
  const types = metadata.get("tokenizer.ggml.token_type");
  if (types === undefined) return [];
  const list = Array.from(types as ArrayLike<unknown>);
  if (list.length === tokens && list.every(Number.isInteger)) return list;
  throw new FormatError("invalid-field", "tokenizer.ggml.token_type is invalid", {
    where,
    expected: `a list of ${tokens} whole numbers, one for each token`,
    found: show(types).slice(0, 60),
  });
}

function textList(metadata: Metadata, key: string, where: string): string[] {
  const list = metadata.get(`tokenizer.ggml.${key}`);
  if (isListOf(list, isText) && list.length <= LIMITS.vocabulary) return list as string[];
  throw new FormatError("invalid-field", `tokenizer.ggml.${key} is invalid`, {
    where,
    expected: `a list of at most ${LIMITS.vocabulary} strings`,
    found: Array.isArray(list) ? `${list.length} values` : (JSON.stringify(list)?.slice(0, 60) ?? "nothing"),
  });
}
