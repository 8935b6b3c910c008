/** `bench tokenizer`: compares Lowrank's tokenizer with others: token ids, then speed. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packagePath } from "#platform";
import { Tokenizer } from "../data/tokenizer.ts";
import { Rng } from "../rng.ts";
import type { Finding, TokenizerJob } from "./jobs.ts";
import { describeMachine, machine } from "./machine.ts";
import { PEERS } from "./peers.ts";
import { type ProcessOutput, runProcess, runSelf } from "./processes.ts";
import { measureSpread, median } from "./spread.ts";
import { bundledTexts, readWorkloads, type Workload } from "./texts.ts";
import script from "./tiktoken.py";
import type { PeerResult, TokenizerReport, WorkloadResult } from "./tokenizer-report.ts";
import { tables } from "./tokenizer-report.ts";
import { wireBytes } from "./wire.ts";

interface TokenizerOptions {
  texts?: string[];
  json?: boolean;
  rounds: number;
  limit: number;
}

const NATIVE = "tiktoken (native)";
const LENGTHS = [5_000, 10_000, 20_000, 40_000, 80_000];
const WORDS_EACH = 5;

/** Words of one repeated letter, and of random letters. No word occurs twice, so that caches have no effect. */
function wordsJob(): Pick<TokenizerJob & { kind: "words" }, "kind" | "words"> {
  const rng = new Rng(5);
  const random = (length: number) => Array.from({ length }, () => String.fromCharCode(97 + rng.below(26))).join("");
  const words = LENGTHS.flatMap((length) =>
    Array.from({ length: WORDS_EACH }, (_, i) => [
      { name: `a, ${length}`, word: "a".repeat(length + i) },
      { name: `letters, ${length}`, word: random(length) },
    ]).flat(),
  );
  return { kind: "words", words };
}

export async function benchTokenizer(options: TokenizerOptions): Promise<number> {
  const workloads = options.texts ? await readWorkloads(options.texts) : await bundledTexts();
  const folder = await mkdtemp(join(tmpdir(), "lowrank-bench-"));
  try {
    await writeRanks(join(folder, "gpt2.tiktoken"));
    const report = await measure(workloads, folder, options);
    if (options.json) console.log(JSON.stringify(report));
    else {
      console.log(describeMachine(report.machine));
      for (const { name, source, bytes } of workloads)
        console.log(`${name}: ${(bytes / 1e6).toFixed(2)} MB, ${source}`);
      console.log(tables(report));
    }
    return 0;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The vocabulary in tiktoken's format: lines of "<token in base64> <id>". */
async function writeRanks(path: string): Promise<void> {
  const tokenizer = await Tokenizer.load();
  const lines = Array.from({ length: tokenizer.vocabSize - 1 }, (_, id) => {
    return `${Buffer.from(tokenizer.decodeBytes([id])).toString("base64")} ${id}\n`;
  });
  await writeFile(path, lines.join(""));
}

type Run = ProcessOutput<Finding>;

async function measure(workloads: Workload[], folder: string, options: TokenizerOptions): Promise<TokenizerReport> {
  const base = { folder, seconds: 1, least: 3, most: 200 };
  const jobs: { name: string; path: string; rounds: number }[] = [];
  const add = async (name: string, job: object, rounds: number) => {
    const path = join(folder, `job-${jobs.length}.json`);
    await writeFile(path, JSON.stringify({ folder, ...job }));
    jobs.push({ name, path, rounds });
  };
  for (const { name, texts } of workloads) await add(name, { ...base, kind: "texts", texts }, options.rounds);
  await add("", wordsJob(), 1);

  const runs = new Map<string, Map<string, Run[]>>();
  // Peers alternate within a round, so that other load on the machine affects all of them equally.
  for (let round = 0; round < options.rounds; round++)
    for (const job of jobs.filter(({ rounds }) => round < rounds))
      for (const peer of [...PEERS.map(({ name }) => name), NATIVE]) {
        process.stderr.write(`\r\x1b[K${peer}: ${job.name || "long words"}, round ${round + 1}`);
        const run = await start(peer, job.path, options.limit);
        const ofPeer = runs.get(peer) ?? new Map<string, Run[]>();
        runs.set(peer, ofPeer.set(job.name, [...(ofPeer.get(job.name) ?? []), run]));
      }
  process.stderr.write("\r\x1b[K");

  const installed = [...runs].filter(([, of]) => [...of.values()].flat().some(({ lines }) => lines.length > 0));
  const names = installed.map(([name]) => name);
  const reference = [NATIVE, "tiktoken (WASM)"].find((name) => names.includes(name)) ?? names[0]!;
  const peers = await Promise.all(
    installed.map(async ([name, of]): Promise<PeerResult> => {
      const peer = PEERS.find((p) => p.name === name);
      const all = [...of.values()].flat();
      return {
        name,
        version: find(all, "version")[0] ?? (await packageVersion(peer?.package ?? null)),
        init: median(find(all, "init")),
        wireBytes: peer ? await wireBytes(peer) : null,
        texts: Object.fromEntries(
          workloads.map((workload) => [
            workload.name,
            workloadResult(workload, of.get(workload.name)!, runs.get(reference)!.get(workload.name)!),
          ]),
        ),
        words: wordsResult(of.get("")!),
        failures: [...new Set(all.map(({ failure }) => failure).filter((failure) => failure !== null))],
      };
    }),
  );
  const described = workloads.map(({ name, source, bytes }) => ({ name, source, bytes }));
  return { machine: machine(), reference, rounds: options.rounds, workloads: described, peers };
}

function start(peer: string, job: string, limit: number): Promise<Run> {
  return peer === NATIVE ? runProcess("python3", ["-c", script, job], limit) : runSelf(["peer", peer, job], limit);
}

/** The values of all findings of one kind. */
function find<K extends string>(runs: readonly Run[], key: K): Extract<Finding, Record<K, unknown>>[K][] {
  type Found = Extract<Finding, Record<K, unknown>>;
  return runs.flatMap(({ lines }) => lines.filter((finding): finding is Found => key in finding).map((f) => f[key]));
}

function workloadResult({ texts }: Workload, runs: readonly Run[], reference: readonly Run[]): WorkloadResult {
  const spread = (values: number[]) => (values.length === 0 ? null : measureSpread(values));
  const [ids, expected] = [find(runs, "ids")[0], find(reference, "ids")[0]];
  const decoded = find(runs, "decoded")[0];
  return {
    differ: ids && expected ? ids.filter((hash, i) => hash !== expected[i]).length : null,
    notDecoded: decoded === undefined ? null : texts.length - decoded,
    first: spread(find(runs, "first")),
    warm: spread(find(runs, "warm").flat()),
    decode: spread(find(runs, "decode").flat()),
    peakBytes: median(find(runs, "peak")),
  };
}

function wordsResult(runs: readonly Run[]): Record<string, number> {
  const times = new Map<string, number[]>();
  for (const finding of runs.flatMap(({ lines }) => lines))
    if ("word" in finding) times.set(finding.name, [...(times.get(finding.name) ?? []), finding.word]);
  return Object.fromEntries([...times].map(([name, values]) => [name, Math.min(...values)]));
}

async function packageVersion(name: string | null): Promise<string> {
  const path = packagePath(name === null ? "package.json" : `node_modules/${name}/package.json`);
  return JSON.parse(await readFile(path, "utf8")).version;
}
