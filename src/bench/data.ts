/** `bench data`: time and memory of the pipeline from a file to packed batches. */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadDataset } from "../data/datasets.ts";
import { Loader } from "../data/loader.ts";
import { digits } from "../format.ts";
import { Rng } from "../rng.ts";
import { renderTable } from "../views/terminal/render.ts";
import { describeMachine, machine } from "./machine.ts";
import { runSelf } from "./processes.ts";
import { bundledMessages } from "./texts.ts";

interface DataBenchOptions {
  rows: number[];
  json?: boolean;
}

interface Found {
  /** Seconds to load the file into data sets with train's defaults, and to produce all batches of an epoch. */
  load: number;
  epoch: number;
  /** Tokens of all sets, and rows in the epoch's batches. */
  tokens: number;
  batched: number;
  /** Bytes: the peak resident set size, and its size before loading. */
  peak: number;
  before: number;
}

interface DataResult extends Found {
  rows: number;
  fileBytes: number;
}

/** Bytes per token in the packed rows: GPT-2's ids fit into 16 bits. */
const TOKEN_BYTES = 2;
const LIMIT_SECONDS = 600;

export async function benchData({ rows, json }: DataBenchOptions): Promise<number> {
  const messages = await bundledMessages();
  const folder = await mkdtemp(join(tmpdir(), "lowrank-bench-"));
  const results: DataResult[] = [];
  try {
    for (const count of rows) {
      const path = join(folder, `${count}.csv`);
      process.stderr.write(`\r\x1b[K${count} rows`);
      const fileBytes = await writeRows(path, count, messages);
      results.push({ rows: count, fileBytes, ...(await runSelf<Found>(["rows", path], LIMIT_SECONDS)) });
      await rm(path);
    }
  } finally {
    process.stderr.write("\r\x1b[K");
    await rm(folder, { recursive: true });
  }
  if (json) console.log(JSON.stringify({ machine: machine(), results }));
  else console.log(`${describeMachine(machine())}\n${table(results)}`);
  return 0;
}

/** Writes `count` rows, each of the first halves of two random messages, with a fixed seed. Returns the size. */
async function writeRows(path: string, count: number, messages: readonly string[]): Promise<number> {
  const rng = new Rng(1);
  const file = createWriteStream(path);
  const half = () => {
    const text = messages[rng.below(messages.length)]!;
    return text.slice(0, Math.ceil(text.length / 2));
  };
  file.write("label,text\n");
  for (let done = 0; done < count; ) {
    const block: string[] = [];
    for (; done < count && block.length < 1000; done++)
      block.push(`${rng.below(2) ? "spam" : "ham"},"${`${half()} ${half()}`.toWellFormed().replaceAll('"', '""')}"\n`);
    if (!file.write(block.join(""))) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
  return file.bytesWritten;
}

/** Makes one measurement in this process and prints a `Found`. */
export async function measureRows(path: string): Promise<void> {
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const data = await loadDataset({ file: path });
  const loaded = performance.now();
  let batched = 0;
  for (const { labels } of new Loader(data.train, { batchSize: 32, seed: 1 }).epoch(0)) batched += labels.length;
  const { train, val, test } = data.stats;
  const found: Found = {
    load: (loaded - started) / 1000,
    epoch: (performance.now() - loaded) / 1000,
    tokens: train.tokens + val.tokens + test.tokens,
    batched,
    peak: 1024 * process.resourceUsage().maxRSS,
    before,
  };
  console.log(JSON.stringify(found));
}

function table(results: readonly DataResult[]): string {
  const mega = (bytes: number) => bytes / 1e6;
  return renderTable<DataResult>(
    [
      { title: "rows", value: ({ rows }) => rows },
      { title: "file MB", value: ({ fileBytes }) => mega(fileBytes), format: digits(1) },
      { title: "rows/s loaded", value: ({ rows, load }) => rows / load, format: digits(0) },
      { title: "MB/s loaded", value: ({ fileBytes, load }) => mega(fileBytes / load), format: digits(1) },
      { title: "rows/s batched", value: ({ batched, epoch }) => batched / epoch, format: digits(0) },
      { title: "tokens MB", value: ({ tokens }) => mega(TOKEN_BYTES * tokens), format: digits(1) },
      { title: "peak MB", value: ({ peak }) => mega(peak), format: digits(0) },
      { title: "without Node", value: ({ peak, before }) => mega(peak - before), format: digits(0) },
      { title: "x tokens", value: (r) => (r.peak - r.before) / (TOKEN_BYTES * r.tokens), format: digits(2) },
    ],
    results,
  );
}
