/** Writes a model's vocabulary as the metadata of a GGUF file: tokenizer-gguf.ts reads it. */
import { openFile, packagePath } from "#platform";
import { ConfigError } from "../../core/errors.ts";
import { isGguf } from "../../platform/paths.ts";
import { type BaseModel, GPT2_FILES } from "../hf.ts";
import { readModelJson } from "../model-file.ts";
import { CONTROL, UNUSED, USER_DEFINED } from "../tokenizer/steps.ts";
import { listTokens, type TokenConfig } from "../tokenizer/tokenizer-files.ts";
import { padding } from "../tokenizer/tokenizer-gguf.ts";
import type { AddedToken } from "../tokenizer/vocabulary-tables.ts";
import { readGgufHeader } from "./gguf.ts";
import { bool, i32s, text, texts, u32 } from "./gguf-write.ts";

/** The type of a token that is made of bytes. */
const NORMAL = 1;

interface Written {
  metadata: Map<string, Uint8Array>;
  /** Differences to llama.cpp, which does otherwise. */
  notes: string[];
}

/** The metadata of a model's tokens. Throws ConfigError for a vocabulary that llama.cpp does not have. */
export async function vocabularyMetadata(model: BaseModel): Promise<Written> {
  const { directory, vocabulary } = model;
  if (isGguf(directory))
    return { metadata: await copyMetadata(directory, (key) => key.startsWith("tokenizer.")), notes: [] };
  const config = (await readModelJson(directory, "config.json")) as unknown as TokenConfig;
  const inDirectory = await listTokens(directory, config);
  const found = inDirectory ?? (await listShipped(model, config));
  if (!found)
    throw new ConfigError("missing-tokenizer-files", "the base model has no files of a tokenizer", {
      where: directory,
      expected: "tokenizer.json, or vocab.json and merges.txt: a GGUF file has its tokens in it",
      hint: "copy the files of the model's tokenizer into its directory",
    });
  const { listed, added, named } = found;
  const { pretokenizer, ignoresMerges, normalizes, begin, merges } = listed;
  // llama.cpp knows it by the name alone.
  if (ignoresMerges !== (pretokenizer === "llama-bpe"))
    throw new ConfigError("not-expressible-in-format", "llama.cpp has no name for this vocabulary", {
      where: listed.where,
      expected: `ignore_merges = ${!ignoresMerges}, as of all vocabularies with the pattern ${pretokenizer}`,
      found: `ignore_merges = ${ignoresMerges}`,
      hint: "export it as merged",
    });
  const id = (token: string | undefined) =>
    token === undefined ? undefined : (added.find(({ content }) => content === token)?.id ?? listed.tokens[token]);
  const bos = begin?.id ?? id(named.bos_token) ?? config.bos_token_id;
  const ids = { bos, eos: vocabulary.end.id, unknown: id(named.unk_token), padding: id(named.pad_token) };
  const { tokens, types } = listIds(listed.tokens, added, model.config.vocab_size);
  const metadata = new Map([
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text(pretokenizer)],
    ["tokenizer.ggml.tokens", texts(tokens)],
    ["tokenizer.ggml.token_type", i32s(types)],
    ["tokenizer.ggml.merges", texts(merges.map((merge) => (Array.isArray(merge) ? merge.join(" ") : String(merge))))],
    ...Object.entries(ids).flatMap(([name, id]): [string, Uint8Array][] =>
      typeof id === "number" ? [[`tokenizer.ggml.${name}_token_id`, u32(id)]] : [],
    ),
    ["tokenizer.ggml.add_bos_token", bool(begin !== null)],
    ...(vocabulary.chat ? [["tokenizer.chat_template", text(vocabulary.chat.template)] as const] : []),
  ]);
  return { metadata, notes: differences(normalizes, added) };
}

/** The tokens of GPT-2, for a model that has no files of them. */
async function listShipped({ config: { vocab_size }, vocabulary }: BaseModel, config: TokenConfig) {
  const isGpt2 = vocabulary.tables === null && vocab_size > vocabulary.end.id;
  return isGpt2 ? listTokens(packagePath(GPT2_FILES), config) : null;
}

/** Metadata of a GGUF file, as they lie there. */
export async function copyMetadata(path: string, isWanted: (key: string) => boolean): Promise<Map<string, Uint8Array>> {
  const reader = await openFile(path);
  try {
    const { encoded } = await readGgufHeader(reader);
    return new Map([...encoded].filter(([key]) => isWanted(key)));
  } finally {
    await reader.close();
  }
}

/** The text and the type of each id; the rows of the token table that have no token get one that no text contains. */
function listIds(known: Readonly<Record<string, number>>, added: readonly AddedToken[], rows: number) {
  const tokens = Array.from({ length: rows }, (_, id) => padding(id));
  const types = new Array<number>(rows).fill(UNUSED);
  const set = (token: string, id: number, type: number) => {
    if (id >= rows) return;
    tokens[id] = token;
    types[id] = type;
  };
  for (const token in known) set(token, known[token]!, NORMAL);
  for (const { content, id, special } of added) set(content, id, special ? CONTROL : USER_DEFINED);
  return { tokens, types };
}

function differences(normalizes: boolean, added: readonly AddedToken[]): string[] {
  const strict = added.filter(({ lstrip, rstrip, single_word }) => lstrip || rstrip || single_word);
  return [
    ...(normalizes
      ? ["llama.cpp does not bring texts into NFC, as this model's tokenizer does: normalize them before"]
      : []),
    ...(strict.length > 0
      ? [
          `llama.cpp finds added tokens wherever they stand, and no white space belongs to them: ${strict.map(({ content }) => JSON.stringify(content)).join(", ")}`,
        ]
      : []),
  ];
}
