/** Whether a model was trained with GPT-2's tokenizer, the only one there is here: by the tokenizer files beside it. */
import { exists, joinPath, packagePath, readBytes } from "#platform";
import { ConfigError, FormatError } from "../errors.ts";
import { readJson } from "./common.ts";
import { hash } from "./download.ts";

/** sha256 of GPT-2's own files. */
const GPT2_FILES = {
  "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
  "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
} as const;

/**
 * Throws ConfigError where a directory's vocab.json, merges.txt or, without these, tokenizer.json are another
 * tokenizer's than GPT-2's. They may be written in another way, and have tokens of their own behind GPT-2's; where there
 * are none nothing is said.
 */
export async function checkTokenizer(directory: string): Promise<void> {
  const has = async (file: string) => exists(joinPath(directory, file));
  const files = Object.keys(GPT2_FILES) as (keyof typeof GPT2_FILES)[];
  const there = await Promise.all(files.map(has));
  for (const [i, file] of files.entries()) {
    const path = joinPath(directory, file);
    if (!there[i] || (await hash(path, "sha256")) === GPT2_FILES[file]) continue;
    if (file === "vocab.json") await compareVocabulary(await readJson(path), path);
    else await compareMerges(linesOf(await readBytes(path)), path);
  }
  if (there.some(Boolean) || !(await has("tokenizer.json"))) return;
  const path = joinPath(directory, "tokenizer.json");
  const { model } = (await readJson(path)) as { model?: { vocab?: unknown; merges?: unknown } };
  if (!Array.isArray(model?.merges)) throw new FormatError("a tokenizer without merges", { where: path });
  await compareVocabulary(model.vocab, path);
  const merges = model.merges.map((pair: unknown) => (Array.isArray(pair) ? pair.join(" ") : String(pair)));
  await compareMerges(merges, path);
}

async function compareVocabulary(vocabulary: unknown, where: string): Promise<void> {
  const expected = (await readJson(packagePath("data/models/gpt2-micro/vocab.json"))) as Record<string, number>;
  const found = (vocabulary ?? {}) as Record<string, unknown>;
  const differs = Object.keys(expected).find((token) => found[token] !== expected[token]);
  if (differs !== undefined)
    refuse(where, `token ${JSON.stringify(differs)} = ${expected[differs]}`, String(found[differs] ?? "no such token"));
  const size = Object.keys(expected).length;
  const within = Object.keys(found).find((token) => !Object.hasOwn(expected, token) && Number(found[token]) < size);
  if (within !== undefined)
    refuse(where, `GPT-2's ${size} tokens`, `token ${JSON.stringify(within)} = ${found[within]}`);
}

async function compareMerges(found: string[], where: string): Promise<void> {
  const expected = linesOf(await readBytes(packagePath("data/models/gpt2-micro/merges.txt")));
  const differs = expected.findIndex((pair, i) => pair !== found[i]);
  if (differs >= 0) refuse(where, `merge ${differs + 1}: ${expected[differs]}`, found[differs] ?? "the end");
  if (found.length > expected.length) refuse(where, `${expected.length} merges`, `${found.length}`);
}

/** The merges of a merges.txt, without its first line, which names a version. */
function linesOf(bytes: Uint8Array): string[] {
  const lines = new TextDecoder().decode(bytes).split(/\r?\n/);
  return lines.filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
}

function refuse(where: string, expected: string, found: string): never {
  throw new ConfigError("the model has another tokenizer than GPT-2's", {
    where,
    expected,
    found,
    hint: "only models with GPT-2's own vocabulary and merges can be trained here",
  });
}
