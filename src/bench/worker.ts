/** Measures one tokenizer in this process. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describeModel } from "../io/hf.ts";
import { PEERS } from "./peers.ts";

/** A file in JSON. */
export interface TokenizerJob {
  /** Each is encoded and decoded by a call of its own. */
  texts: string[];
  /** How long to repeat, and the minimum and maximum number of repetitions. */
  seconds: number;
  least: number;
  most: number;
  /** Has the vocabulary in the format of Python's tiktoken. */
  folder: string;
  /** The folder of a base model, whose tokenizer is measured; absent: GPT-2's. */
  model?: string | undefined;
}

/** A process's line of JSON. Times are in ms. */
export interface Measured {
  /** Of Python's tiktoken. */
  version?: string;
  init: number;
  first: number;
  warm: number[];
  decode: number[];
  /** A hash of the ids of each text. */
  ids: string[];
  /** Texts that come back. */
  decoded: number;
  /** Bytes: the growth of the peak resident set size since before the tokenizer was loaded. */
  peak: number;
}

/** Runs the job at `path` with the peer `name`. */
export async function work(name: string, path: string): Promise<void> {
  const job: TokenizerJob = JSON.parse(await readFile(path, "utf8"));
  const { texts } = job;
  const before = process.resourceUsage().maxRSS;
  const started = performance.now();
  const encoder = await PEERS[name]!(job.model ? await describeModel(job.model) : undefined);
  encoder.encode("Hello, world!");
  const init = performance.now() - started;
  const encodeAll = () => texts.map((text) => encoder.encode(text));
  let ids: ArrayLike<number>[] = [];
  const first = time(() => {
    ids = encodeAll();
  });
  const measured: Measured = {
    init,
    first,
    warm: repeat(encodeAll, job),
    decode: repeat(() => ids.map((tokens) => encoder.decode(tokens)), job),
    ids: ids.map(hash),
    decoded: ids.filter((tokens, i) => encoder.decode(tokens) === texts[i]).length,
    peak: 1024 * (process.resourceUsage().maxRSS - before),
  };
  console.log(JSON.stringify(measured));
}

function time(run: () => void): number {
  const started = performance.now();
  run();
  return performance.now() - started;
}

function repeat(run: () => void, { seconds, least, most }: TokenizerJob): number[] {
  const end = performance.now() + 1000 * seconds;
  const times: number[] = [];
  while (times.length < least || (times.length < most && performance.now() < end)) times.push(time(run));
  return times;
}

/** SHA-1 of the ids as little-endian u32, as in src/bench/tokenizers.py. */
function hash(ids: ArrayLike<number>): string {
  return createHash("sha1")
    .update(new Uint8Array(Uint32Array.from(ids).buffer))
    .digest("hex");
}
