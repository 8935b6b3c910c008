/** The texts of the tokenizer benchmark: short messages, one call each, and one long text. */

import { packagePath, readBytes } from "#platform";
import { Corpus } from "../data/corpus.ts";
import { DataModule } from "../data/wasm.ts";
import { joinPair } from "../pair.ts";
import { bytesReader } from "../platform/reader.ts";
import { Rng } from "../rng.ts";

export interface Workload {
  name: string;
  source: string;
  texts: string[];
  /** Bytes of UTF-8. */
  bytes: number;
}

const PROSE_BYTES = 5_000_000;
const BUNDLED = "datasets/spam.csv";

async function rowTexts(files: readonly { name: string; bytes: Uint8Array }[]): Promise<string[]> {
  const corpus = new Corpus(await DataModule.load());
  const texts: string[] = [];
  for (const { name, bytes } of files) {
    const options = { labelsAre: "class" as const, maxLength: 1024, chunkBytes: 1 << 18 };
    for (const row of await corpus.read(bytesReader(name, bytes), options)) texts.push(joinPair(corpus.text(row)));
  }
  return texts;
}

function workload(name: string, source: string, texts: string[]): Workload {
  return { name, source, texts, bytes: texts.reduce((n, text) => n + Buffer.byteLength(text), 0) };
}

/** The messages of the bundled corpus, and a text of 5 MB made of them, shuffled repeatedly. */
export async function bundledTexts(): Promise<Workload[]> {
  const messages = await rowTexts([{ name: BUNDLED, bytes: await readBytes(packagePath(`data/${BUNDLED}`)) }]);
  const rng = new Rng(1);
  const parts: string[] = [];
  for (let bytes = 0; bytes < PROSE_BYTES; )
    for (const text of rng.shuffle([...messages])) {
      if (bytes >= PROSE_BYTES) break;
      parts.push(text);
      bytes += Buffer.byteLength(text) + 1;
    }
  return [
    workload("messages", "bundled mails and short messages, one call each", messages),
    workload("prose", "the same messages, shuffled repeatedly, in one string", [parts.join("\n")]),
  ];
}

/** No white space and no repetition: a slow merge takes its square. */
export function longWord(): Workload {
  const rng = new Rng(5);
  const letters = Array.from({ length: 20_000 }, () => String.fromCharCode(97 + rng.below(26)));
  return workload("word", "20,000 random letters (gpt-tokenizer caches a word: compare the first pass)", [
    letters.join(""),
  ]);
}

/** Reads data files (.csv, .tsv, .jsonl, .ndjson) as one set of messages, and each other file as one text. */
export async function readWorkloads(paths: readonly string[]): Promise<Workload[]> {
  const isData = (path: string) => /\.(csv|tsv|jsonl|ndjson)$/i.test(path);
  const data = paths.filter(isData);
  const workloads: Workload[] = [];
  if (data.length > 0) {
    const files = await Promise.all(data.map(async (name) => ({ name, bytes: await readBytes(name) })));
    workloads.push(workload("messages", `${data.join(", ")}, one call per message`, await rowTexts(files)));
  }
  for (const path of paths.filter((p) => !isData(p))) {
    const text = new TextDecoder().decode(await readBytes(path));
    workloads.push(workload(path.split(/[\\/]/).at(-1)!, `${path}, in one string`, [text]));
  }
  return workloads;
}
