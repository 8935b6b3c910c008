/** Measures one tokenizer in this process. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Finding, TextsJob, TokenizerJob, WordsJob } from "./jobs.ts";
import { type Encoder, PEERS } from "./peers.ts";

/** Runs the job at `path` with the peer `name`, and prints findings as they are made. */
export async function work(name: string, path: string): Promise<void> {
  const job: TokenizerJob = JSON.parse(await readFile(path, "utf8"));
  const peer = PEERS.find((p) => p.name === name)!;
  const before = process.resourceUsage().maxRSS;
  const started = performance.now();
  const encoder = await peer.open();
  encoder.encode("Hello, world!");
  say({ init: performance.now() - started });
  if (job.kind === "texts") measureTexts(encoder, job);
  else measureWords(encoder, job);
  say({ peak: 1024 * (process.resourceUsage().maxRSS - before) });
}

function say(finding: Finding): void {
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}

function time(run: () => void): number {
  const started = performance.now();
  run();
  return performance.now() - started;
}

function repeat(run: () => void, { seconds, least, most }: TextsJob): number[] {
  const end = performance.now() + 1000 * seconds;
  const times: number[] = [];
  while (times.length < least || (times.length < most && performance.now() < end)) times.push(time(run));
  return times;
}

function measureTexts(encoder: Encoder, job: TextsJob): void {
  const { texts } = job;
  let ids: ArrayLike<number>[] = [];
  say({
    first: time(() => {
      ids = texts.map((text) => encoder.encode(text));
    }),
  });
  say({ ids: ids.map(hash), tokens: ids.reduce((n, { length }) => n + length, 0) });
  const encodeAll = () => {
    for (const text of texts) encoder.encode(text);
  };
  say({ warm: repeat(encodeAll, job) });
  const decoded = ids.reduce((n, some, i) => n + (encoder.decode(some) === texts[i] ? 1 : 0), 0);
  const decodeAll = () => {
    for (const some of ids) encoder.decode(some);
  };
  say({ decode: repeat(decodeAll, job), decoded });
}

/** SHA-1 of the ids as little-endian u32, as in src/bench/tiktoken.py. */
function hash(ids: ArrayLike<number>): string {
  return createHash("sha1")
    .update(new Uint8Array(Uint32Array.from(ids).buffer))
    .digest("hex");
}

/** Times words of each name, for about a second per name. */
function measureWords(encoder: Encoder, { words }: WordsJob): void {
  const spent = new Map<string, number>();
  for (const { name, word } of words) {
    const before = spent.get(name) ?? 0;
    if (before > 1000) continue;
    const ms = time(() => encoder.encode(word));
    spent.set(name, before + ms);
    say({ name, word: ms });
  }
}
