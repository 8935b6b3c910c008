/** `bench tokenizer`: compares Lowrank's tokenizer with others: token ids, then speed. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packagePath, readBytes } from "#platform";
import { digits } from "../core/format.ts";
import { joinPair } from "../core/pair.ts";
import { Rng } from "../core/rng.ts";
import { Corpus } from "../data/corpus.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { DataModule } from "../data/wasm.ts";
import { CLASS } from "../labels/class.ts";
import { bytesReader } from "../platform/reader.ts";
import { renderTable } from "../views/terminal/render.ts";
import { describeMachine, machine } from "./machine.ts";
import { PEERS } from "./peers.ts";
import { runProcess, runSelf } from "./processes.ts";
import { measureSpread } from "./spread.ts";
import script from "./tokenizers.py";
import type { Measured, TokenizerJob } from "./worker.ts";

interface TokenizerOptions {
  texts?: string[];
  model?: string;
  json?: boolean;
  rounds: number;
}

const NATIVE = "Python (native)";
const LIMIT_SECONDS = 60;

/** A tokenizer on a workload. Times are in ms: the median of the first passes, the best of the others. */
interface Result {
  peer: string;
  version: string;
  /** Texts whose ids differ from the reference's, and texts that do not come back. */
  differ: number;
  notDecoded: number;
  init: number;
  first: number;
  warm: number;
  decode: number;
  peakBytes: number;
}

export async function benchTokenizer({ texts, model, json, rounds }: TokenizerOptions): Promise<number> {
  const workloads = [...(texts ? await readWorkloads(texts) : await bundledTexts()), longWord()];
  const folder = await mkdtemp(join(tmpdir(), "lowrank-bench-"));
  const results: { workload: Omit<Workload, "texts">; results: Result[] }[] = [];
  try {
    await writeRanks(join(folder, "gpt2.tiktoken"));
    for (const { texts, ...workload } of workloads)
      results.push({ workload, results: await measure(workload.name, { folder, texts, model }, rounds) });
  } finally {
    process.stderr.write("\r\x1b[K");
    await rm(folder, { recursive: true });
  }
  if (json) console.log(JSON.stringify({ machine: machine(), rounds, results }));
  else {
    console.log(describeMachine(machine()));
    for (const measured of results)
      console.log(`\n${describe(measured.workload)}\n${table(measured.results, measured.workload.bytes)}`);
  }
  return 0;
}

/** The vocabulary in tiktoken's format: lines of "<token in base64> <id>". */
async function writeRanks(path: string): Promise<void> {
  const tokenizer = await Tokenizer.load();
  const lines = Array.from({ length: tokenizer.vocabSize - 1 }, (_, id) => {
    return `${Buffer.from(tokenizer.decodeBytes([id])).toString("base64")} ${id}\n`;
  });
  await writeFile(path, lines.join(""));
}

async function measure(name: string, what: Pick<TokenizerJob, "folder" | "texts" | "model">, rounds: number) {
  const path = join(what.folder, "job.json");
  const job: TokenizerJob = { ...what, seconds: 1, least: 3, most: 200 };
  await writeFile(path, JSON.stringify(job));
  const runs = new Map<string, Measured[]>();
  // Peers alternate within a round, so that other load on the machine affects all of them equally.
  for (let round = 1; round <= rounds; round++)
    for (const peer of [...(what.model ? ["lowrank"] : Object.keys(PEERS)), NATIVE]) {
      process.stderr.write(`\r\x1b[K${peer}: ${name}, round ${round}`);
      await start(peer, path).then(
        (measured) => runs.set(peer, [...(runs.get(peer) ?? []), measured]),
        ({ message }) => process.stderr.write(`\r\x1b[K${peer}, ${name}: ${message}\n`),
      );
    }
  const reference = [...runs].at(-1)![1][0]!.ids;
  return Promise.all([...runs].map(([peer, measured]) => summarize(peer, measured, reference)));
}

const start = (peer: string, job: string) =>
  peer === NATIVE
    ? runProcess<Measured>("python3", ["-c", script, job], LIMIT_SECONDS)
    : runSelf<Measured>(["peer", peer, job], LIMIT_SECONDS);

async function summarize(peer: string, runs: readonly Measured[], reference: readonly string[]): Promise<Result> {
  const [{ version, ids, decoded }] = runs as [Measured];
  return {
    peer,
    version: version ?? (await packageVersion(peer)),
    differ: ids.filter((hash, i) => hash !== reference[i]).length,
    notDecoded: ids.length - decoded,
    init: median(runs.map(({ init }) => init)),
    first: median(runs.map(({ first }) => first)),
    warm: Math.min(...runs.flatMap(({ warm }) => warm)),
    decode: Math.min(...runs.flatMap(({ decode }) => decode)),
    peakBytes: median(runs.map(({ peak }) => peak)),
  };
}

const median = (values: readonly number[]) => measureSpread(values).median;

async function packageVersion(name: string): Promise<string> {
  const path = packagePath(name === "lowrank" ? "package.json" : `node_modules/${name}/package.json`);
  return JSON.parse(await readFile(path, "utf8")).version;
}

const describe = ({ name, source, bytes }: Omit<Workload, "texts">) =>
  `${name}: ${(bytes / 1e6).toFixed(2)} MB, ${source}; MB/s (first: median of new processes; warm, decode: best)`;

function table(results: readonly Result[], bytes: number): string {
  const speed = (ms: number) => bytes / 1000 / ms;
  const brief = (value: number) => value.toPrecision(3);
  return renderTable<Result>(
    [
      { title: "", value: ({ peer }) => peer },
      { title: "version", value: ({ version }) => version },
      { title: "other ids", value: ({ differ }) => differ },
      { title: "not decoded", value: ({ notDecoded }) => notDecoded },
      { title: "init ms", value: ({ init }) => init, format: digits(1) },
      { title: "first", value: ({ first }) => speed(first), format: brief },
      { title: "warm", value: ({ warm }) => speed(warm), format: brief },
      { title: "decode", value: ({ decode }) => speed(decode), format: brief },
      { title: "peak MB", value: ({ peakBytes }) => peakBytes / 1e6, format: digits(0) },
    ],
    results,
  );
}

interface Workload {
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
    const options = { labelsAre: CLASS, maxLength: 1024, chunkBytes: 1 << 18 };
    for (const row of await corpus.read(bytesReader(name, bytes), options)) texts.push(joinPair(corpus.text(row)));
  }
  return texts;
}

function workload(name: string, source: string, texts: string[]): Workload {
  return { name, source, texts, bytes: texts.reduce((n, text) => n + Buffer.byteLength(text), 0) };
}

/** The messages of the bundled corpus, and a text of 5 MB made of them, shuffled repeatedly. */
async function bundledTexts(): Promise<Workload[]> {
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
function longWord(): Workload {
  const rng = new Rng(5);
  const letters = Array.from({ length: 20_000 }, () => String.fromCharCode(97 + rng.below(26)));
  return workload("word", "20,000 random letters (gpt-tokenizer caches a word: compare the first pass)", [
    letters.join(""),
  ]);
}

/** Reads data files (.csv, .tsv, .jsonl, .ndjson) as one set of messages, and each other file as one text. */
async function readWorkloads(paths: readonly string[]): Promise<Workload[]> {
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
