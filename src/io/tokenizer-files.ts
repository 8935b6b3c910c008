/** Checks by its tokenizer files that a model uses GPT-2's tokenizer, the only one that is supported. */
import { exists, joinPath, packagePath, readBytes } from "#platform";
import { ConfigError, FormatError } from "../errors.ts";
import { checkKinds, readJson } from "./common.ts";
import { hash } from "./download.ts";

/** sha256 of GPT-2's original files. */
const GPT2_FILES = {
  "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
  "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
} as const;

/**
 * Throws ConfigError if the vocab.json, merges.txt, tokenizer.json or tokenizer_config.json in the directory of a model or an
 * adapter are not GPT-2's, or contain settings that change token ids. Their formatting may differ, and they may add special
 * tokens after GPT-2's. A directory without these files passes.
 */
export async function checkTokenizer(directory: string): Promise<void> {
  const path = (file: string) => joinPath(directory, file);
  for (const [file, sha256] of Object.entries(GPT2_FILES)) {
    if (!(await exists(path(file))) || (await hash(path(file), "sha256")) === sha256) continue;
    if (file === "vocab.json") await compareVocabulary(await readJson(path(file)), path(file));
    else await compareMerges(linesOf(await readBytes(path(file))), path(file));
  }
  if (await exists(path("tokenizer.json")))
    await checkFast(await readObject(path("tokenizer.json")), path("tokenizer.json"));
  if (await exists(path("tokenizer_config.json")))
    checkSettings(await readObject(path("tokenizer_config.json")), path("tokenizer_config.json"));
}

type Json = Record<string, unknown>;

async function readObject(path: string): Promise<Json> {
  const json = await readJson(path);
  checkKinds({ json }, { json: "object" }, path);
  return json as Json;
}

/** Checks a tokenizer.json: every step before and after the merges, then the tokens and the merges. */
async function checkFast(json: Json, where: string): Promise<void> {
  checkKinds(json, { model: "object?", added_tokens: "objects?" }, where);
  const { model = {}, added_tokens = [] } = json as { model?: Json; added_tokens?: Json[] };
  if (!Array.isArray(model.merges)) throw new FormatError("the tokenizer has no merges", { where });
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix", "dropout", "byte_fallback", "ignore_merges"])
    if (model[key]) refuse(where, `no ${key} in the model`, JSON.stringify(model[key]));
  if (json.normalizer) refuse(where, "no normalizer", JSON.stringify(json.normalizer));
  const before = (json.pre_tokenizer ?? {}) as Json;
  if (before.type !== "ByteLevel" || before.use_regex === false)
    refuse(where, "the pre_tokenizer ByteLevel, with use_regex", JSON.stringify(json.pre_tokenizer) ?? "none");
  if (before.add_prefix_space !== false) refusePrefixSpace(where, JSON.stringify(before.add_prefix_space) ?? "nothing");
  const after = (json.post_processor ?? { type: "ByteLevel" }) as Json;
  const addsTokens = JSON.stringify(after.single ?? "").includes("SpecialToken");
  if (!["ByteLevel", "TemplateProcessing"].includes(after.type as string) || addsTokens)
    refuse(where, "a post_processor that adds no tokens", `post_processor ${JSON.stringify(after)}`);
  for (const token of added_tokens) checkAdded(token, where);
  await compareVocabulary(model.vocab, where);
  const merges = model.merges.map((pair: unknown) => (Array.isArray(pair) ? pair.join(" ") : String(pair)));
  await compareMerges(merges, where);
}

/** Checks a tokenizer_config.json, the settings of transformers. */
function checkSettings(json: Json, where: string): void {
  checkKinds(json, { add_prefix_space: "boolean?", added_tokens_decoder: "object?" }, where);
  if (json.add_prefix_space === true) refusePrefixSpace(where, "true");
  for (const key of ["add_bos_token", "add_eos_token"])
    if (json[key]) refuse(where, `${key} = false`, JSON.stringify(json[key]));
  for (const [id, token] of Object.entries(json.added_tokens_decoder ?? {})) {
    checkKinds({ [id]: token }, { [id]: "object" }, where);
    checkAdded({ ...(token as object), id: Number(id) }, where);
  }
}

const END_OF_TEXT = { id: 50256, content: "<|endoftext|>" };

/** Refuses added tokens that are not special: they are matched in texts before the merges, and so change the ids. */
function checkAdded(token: Json, where: string): void {
  const { id, content, special } = token;
  const isEnd = id === END_OF_TEXT.id && content === END_OF_TEXT.content;
  if (!isEnd && !(special === true && Number(id) > END_OF_TEXT.id))
    refuse(where, "only special added tokens, with ids after GPT-2's", JSON.stringify(token));
}

function refusePrefixSpace(where: string, found: string): never {
  throw new ConfigError("a tokenizer with add_prefix_space is not supported", {
    where,
    expected: "add_prefix_space = false",
    found,
    hint: "set it to false if the model was trained without it; otherwise token ids would differ from those in training",
  });
}

async function compareVocabulary(vocabulary: unknown, where: string): Promise<void> {
  const expected = (await readJson(packagePath("data/models/gpt2-micro/vocab.json"))) as Record<string, number>;
  checkKinds({ vocab: vocabulary }, { vocab: "object" }, where);
  const found = vocabulary as Record<string, unknown>;
  const differs = Object.keys(expected).find((token) => found[token] !== expected[token]);
  if (differs !== undefined)
    refuse(where, `token ${JSON.stringify(differs)} = ${expected[differs]}`, String(found[differs] ?? "no such token"));
  const size = Object.keys(expected).length;
  const unknown = Object.keys(found).find((token) => !Object.hasOwn(expected, token) && Number(found[token]) < size);
  if (unknown !== undefined)
    refuse(where, `GPT-2's ${size} tokens`, `token ${JSON.stringify(unknown)} = ${found[unknown]}`);
}

async function compareMerges(found: string[], where: string): Promise<void> {
  const expected = linesOf(await readBytes(packagePath("data/models/gpt2-micro/merges.txt")));
  const differs = expected.findIndex((pair, i) => pair !== found[i]);
  if (differs >= 0) refuse(where, `merge ${differs + 1}: ${expected[differs]}`, found[differs] ?? "the end");
  if (found.length > expected.length) refuse(where, `${expected.length} merges`, `${found.length}`);
}

/** The merges of a merges.txt, without the version in its first line. */
function linesOf(bytes: Uint8Array): string[] {
  const lines = new TextDecoder().decode(bytes).split(/\r?\n/);
  return lines.filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
}

function refuse(where: string, expected: string, found: string): never {
  throw new ConfigError("the model's tokenizer is not GPT-2's", {
    where,
    expected,
    found,
    hint: "use a model with GPT-2's vocabulary and merges: no other tokenizer is supported",
  });
}
