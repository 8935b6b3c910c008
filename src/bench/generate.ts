/** `bench generate`: generation with a GPT-2 with random weights, optionally compared with transformers. */

import { type Backend, describeDevice } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import type { DeviceName, ModelConfig, WeightDtype } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { Decoder } from "../engine/decoder.ts";
import { loadBase } from "../engine/state.ts";
import { ConfigError, type LowrankError } from "../errors.ts";
import { digits } from "../format.ts";
import { NO_ADAPTERS } from "../infer/adapter-model.ts";
import { generate } from "../infer/generation.ts";
import { loadArchitecture } from "../model/architectures.ts";
import { memoryTotals, showBytes } from "../plan/memory.ts";
import { renderTable } from "../views/terminal/render.ts";
import torchScript from "./generate_torch.py";
import { describeMachine, machine } from "./machine.ts";
import { Dialogue } from "./processes.ts";
import { CONFIGS, randomCheckpoint, type ShapeName } from "./shapes.ts";
import { measureSpread } from "./spread.ts";

interface GenerateBenchOptions {
  model: ShapeName;
  dtype: WeightDtype;
  device: DeviceName;
  threads?: number;
  prompts: number;
  length: number;
  tokens: number;
  rounds: number;
  peer?: "torch";
  json?: boolean;
}

/** Times of a round in milliseconds. */
interface Round {
  /** Until each prompt has one new token. */
  first: number;
  /** Until each prompt has all new tokens. */
  time: number;
  /** CPU time of all threads, which other load on the machine affects less than wall time. */
  cpu: number;
}

interface Result {
  rounds: Round[];
  /** Bytes in the plan. */
  planned: number;
  /** Milliseconds by kernel, if the device reports them. */
  kernels: [string, number][];
}

/** The results of transformers. */
interface Peer {
  version: string;
  /** PyTorch's version. */
  torch: string;
  rounds: Round[];
}

export async function benchGenerate(options: GenerateBenchOptions): Promise<number> {
  const torch = options.peer === "torch" ? new Dialogue("python3", ["-c", torchScript]) : null;
  const device = await openDevice(options.device, { threads: options.threads });
  const { info } = device;
  try {
    const peer = torch && (await startTorch(torch, options));
    const ours = await measureGeneration(device, options, async () => {
      peer?.rounds.push(await torch!.ask<Round>("round"));
    });
    if (options.json) console.log(JSON.stringify({ machine: machine(), device: info, options, ours, torch: peer }));
    else console.log(`${describeMachine(machine())}\n${describeDevice(info)}\n${report(options, ours, peer)}`);
  } finally {
    torch?.end();
    device.destroy();
  }
  return 0;
}

/** Measures rounds, alternating with `otherRound`. */
export async function measureGeneration(
  device: Backend,
  options: Pick<GenerateBenchOptions, "model" | "dtype" | "prompts" | "length" | "tokens" | "rounds">,
  otherRound: () => Promise<void> = async () => {},
): Promise<Result> {
  const config: ModelConfig = CONFIGS[options.model];
  await loadArchitecture(config);
  const task = { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false } as const;
  const decoder = await Decoder.create(device, {
    spec: { config, task, ...NO_ADAPTERS, train_head: false, dtype: options.dtype },
    capacity: { tokens: options.prompts * options.length, sequences: options.prompts },
  });
  await loadBase(decoder, randomCheckpoint(config));
  const tokenizer = await Tokenizer.load();
  // " word" is one token.
  const prompts = Array.from({ length: options.prompts }, () => " word".repeat(options.length));
  const write = async (maxNewTokens: number) => {
    const [started, before] = [performance.now(), process.cpuUsage()];
    let count = 0;
    for await (const { ids } of generate(decoder, tokenizer, prompts, { maxNewTokens })) count += ids.length;
    if (count !== options.prompts * maxNewTokens) throw new Error(`${count} tokens: a text ended early`);
    const { user, system } = process.cpuUsage(before);
    return { time: performance.now() - started, cpu: (user + system) / 1000 };
  };
  await write(options.tokens); // warms caches
  const rounds: Round[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const { time: first } = await write(1);
    rounds.push({ first, ...(await write(options.tokens)) });
    await otherRound();
  }
  // In a separate round: timing each dispatch slows it down.
  const kernels = new Map<string, number>();
  await decoder.session.time?.(kernels);
  await write(options.tokens);
  const planned = memoryTotals(decoder.plan.memory).total;
  decoder.destroy();
  return { rounds, planned, kernels: [...kernels].sort((a, b) => b[1] - a[1]) };
}

/** Starts transformers with the same sizes and number of threads, greedy decoding and its cache. */
async function startTorch(
  torch: Dialogue,
  { model, prompts, length, tokens, threads }: GenerateBenchOptions,
): Promise<Peer> {
  const job = { ...CONFIGS[model], prompts, length, tokens, threads: threads || machine().cores };
  const about = await torch.ask<Omit<Peer, "rounds">>(job).catch((cause: LowrankError) => {
    const { found = cause.message } = cause.details;
    throw new ConfigError("peer-not-installed", "transformers cannot be run", {
      expected: "python3 with torch and transformers",
      found,
      hint: "omit --peer",
      cause,
    });
  });
  return { ...about, rounds: [] };
}

/** Summarizes rounds: milliseconds to the first token, tokens/s after it, CPU time per token. */
export function inWords(rounds: Round[], { prompts, tokens }: Pick<GenerateBenchOptions, "prompts" | "tokens">) {
  const first = measureSpread(rounds.map((round) => round.first)).median;
  const later = measureSpread(rounds.map(({ time, first: begun }) => (1000 * prompts * (tokens - 1)) / (time - begun)));
  const cpu = measureSpread(rounds.map((round) => round.cpu)).median / (prompts * tokens);
  return {
    first,
    speed: later.median,
    cpu,
    words:
      `first token after ${first.toFixed(1)} ms, then ${later.median.toFixed(1)} tokens/s ` +
      `(${later.low.toFixed(1)} to ${later.high.toFixed(1)}), ${cpu.toFixed(2)} ms CPU time per token`,
  };
}

function report(options: GenerateBenchOptions, ours: Result, torch: Peer | null): string {
  const { model, dtype, prompts, length, tokens } = options;
  const mine = inWords(ours.rounds, options);
  const total = ours.kernels.reduce((sum, [, time]) => sum + time, 0);
  const lines = [
    `${model}${dtype === "f32" ? "" : ` in ${dtype}`}, ${prompts === 1 ? "1 prompt" : `${prompts} prompts`} of ${length} tokens per batch, ${tokens} new tokens each, greedy`,
    `lowrank:      ${mine.words}`,
    `memory:       ${showBytes(ours.planned)} planned`,
  ];
  if (torch) {
    const peer = inWords(torch.rounds, options);
    lines.push(
      `alternating with transformers ${torch.version} on PyTorch ${torch.torch}:`,
      `transformers: ${peer.words}`,
      `ratio:        ${(mine.speed / peer.speed).toFixed(2)} x the speed, ${(mine.cpu / peer.cpu).toFixed(2)} x the CPU time, ` +
        `${(mine.first / peer.first).toFixed(2)} x the time to the first token`,
    );
  }
  if (total > 0)
    lines.push(
      renderTable(
        [
          { title: "kernel", value: ([name]) => name },
          { title: "ms", value: ([, time]) => time, format: digits(1) },
          { title: "share, %", value: ([, time]) => (100 * time) / total, format: digits(1) },
        ],
        ours.kernels,
      ),
    );
  return lines.join("\n");
}
