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
  /** Tokens of the prompt, and new ones. */
  length: number;
  tokens: number;
  rounds: number;
}

export interface GenerationResult {
  /** Milliseconds until there is one new token, and tokens/s after it: medians of the rounds. */
  first: number;
  tokensPerSecond: number;
  /** Bytes in the plan. */
  planned: number;
}

export async function measureGeneration(
  device: Backend,
  { model, dtype, length, tokens, rounds }: GenerationOptions,
): Promise<GenerationResult> {
  const config: ModelConfig = CONFIGS[model];
  const decoder = await Decoder.create(device, {
    spec: { config, task: BASE_TASK, ...NO_ADAPTERS, train_head: false, dtype },
    capacity: { tokens: length, sequences: 1 },
  });
  await loadBase(decoder, randomCheckpoint(config));
  const tokenizer = await Tokenizer.load();
  // Each is one token, and not the one before: what the decoder holds of a prompt it does not compute again.
  const words = [" word", " text"];
  const write = async (maxNewTokens: number) => {
    words.reverse();
    const started = performance.now();
    let count = 0;
    for await (const { ids } of generate(decoder, tokenizer, [words[0]!.repeat(length)], { maxNewTokens }))
      count += ids.length;
    if (count !== maxNewTokens) throw new Error(`${count} tokens: a text ended early`);
    return performance.now() - started;
  };
  await write(tokens); // warms caches
  const [firsts, speeds]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const first = await write(1);
    firsts.push(first);
    speeds.push((1000 * (tokens - 1)) / ((await write(tokens)) - first));
  }
  const planned = memoryTotals(decoder.plan.memory).total;
  decoder.destroy();
  return { first: measureSpread(firsts).median, tokensPerSecond: measureSpread(speeds).median, planned };
}
