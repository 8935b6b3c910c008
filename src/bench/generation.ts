/** How fast a GPT-2 with random weights generates. */
import type { Backend } from "../backend/backend.ts";
import type { ModelConfig } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { randomCheckpoint } from "../engine/check-work.ts";
import { Decoder } from "../engine/decoder.ts";
import { loadBase } from "../engine/state.ts";
import { NO_ADAPTERS } from "../infer/several-adapters.ts";
import { BASE_TASK } from "../infer/text/decoding.ts";
import { generate } from "../infer/text/generation.ts";
import { memoryTotals } from "../plan/memory.ts";
import type { WeightDtype } from "../tensor.ts";
import { CONFIGS, type ShapeName } from "./shapes.ts";
import { measureSpread } from "./spread.ts";

export interface GenerationOptions {
  model: ShapeName;
  dtype: WeightDtype;
  prompts: number;
  /** Tokens of a prompt, and new ones. */
  length: number;
  tokens: number;
  rounds: number;
}

/** Times of a round in milliseconds. */
export interface Round {
  /** Until each prompt has one new token. */
  first: number;
  /** Until each prompt has all new tokens. */
  time: number;
  /** CPU time of all threads, which other load on the machine affects less than wall time; NaN: not known. */
  cpu: number;
}

export interface GenerationResult {
  rounds: Round[];
  /** Bytes in the plan. */
  planned: number;
  /** Milliseconds by kernel, if the device reports them. */
  kernels: [string, number][];
}

interface Beside {
  otherRound?: () => Promise<void>;
  cpuTime?: () => number;
}

/** Measures rounds, alternating with `otherRound`. `cpuTime`: milliseconds of all threads so far. */
export async function measureGeneration(
  device: Backend,
  options: GenerationOptions,
  { otherRound = async () => {}, cpuTime = () => Number.NaN }: Beside = {},
): Promise<GenerationResult> {
  const config: ModelConfig = CONFIGS[options.model];
  const decoder = await Decoder.create(device, {
    spec: { config, task: BASE_TASK, ...NO_ADAPTERS, train_head: false, dtype: options.dtype },
    capacity: { tokens: options.prompts * options.length, sequences: options.prompts },
  });
  await loadBase(decoder, randomCheckpoint(config));
  const tokenizer = await Tokenizer.load();
  // Each is one token, and not the one before: what the decoder holds of a prompt it does not compute again.
  const words = [" word", " text"];
  const write = async (maxNewTokens: number) => {
    words.reverse();
    const prompts = Array.from({ length: options.prompts }, () => words[0]!.repeat(options.length));
    const [started, before] = [performance.now(), cpuTime()];
    let count = 0;
    for await (const { ids } of generate(decoder, tokenizer, prompts, { maxNewTokens })) count += ids.length;
    if (count !== options.prompts * maxNewTokens) throw new Error(`${count} tokens: a text ended early`);
    return { time: performance.now() - started, cpu: cpuTime() - before };
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

/** Summarizes rounds: milliseconds to the first token, tokens/s after it, CPU time per token. */
export function inWords(rounds: Round[], { prompts, tokens }: Pick<GenerationOptions, "prompts" | "tokens">) {
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
