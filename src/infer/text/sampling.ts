/** How tokens are chosen (ops/sample.ts): the options, and their ranges. */

import { checkNumber, type NumberRange } from "../../core/checks.ts";
import { ConfigError } from "../../core/errors.ts";

export interface SamplingOptions {
  /** Divides the logits; 0: greedy, the largest logit wins (the first of equals). */
  temperature: number;
  /** Samples from the k largest logits and those equal to the last of them; 0: all. */
  topK: number;
  /** Samples from the fewest most likely tokens whose probabilities add up to this; 1: all. */
  topP: number;
  /** Divides positive logits of tokens that are in the text, and multiplies negative ones; 1: off. */
  repetitionPenalty: number;
}

export const GREEDY: SamplingOptions = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1 };

/** The range of each option. temperature 0: always the most likely token; topK 0 and topP 1: all tokens. */
export const SAMPLING_RANGES: Readonly<Record<keyof SamplingOptions, NumberRange>> = {
  temperature: { min: 0 },
  topK: { min: 0, whole: true },
  topP: { min: 0, max: 1, above: true },
  repetitionPenalty: { min: 0, above: true },
};

/** Throws ConfigError for what is out of range. */
export function checkSampling(options: SamplingOptions): void {
  for (const [name, range] of Object.entries(SAMPLING_RANGES))
    checkNumber(name, options[name as keyof SamplingOptions], range);
  const { temperature, topK, topP } = options;
  if (temperature === 0 && (topK !== 0 || topP !== 1))
    throw new ConfigError("option-without-effect", "topK and topP need a temperature", {
      expected: "a temperature above 0",
      found: "0: greedy decoding, without sampling",
    });
}

/** Below this number f32 cannot be divided by. */
const SMALLEST = 1e-30;

/** The options as the device has them, in f32; they must have passed `checkSampling`. */
export function drawOptions({ temperature, topK, topP, repetitionPenalty }: SamplingOptions) {
  return {
    temperature: temperature < SMALLEST ? 0 : temperature,
    top_k: Math.min(topK, 2 ** 31),
    top_p: Math.max(topP, SMALLEST),
    penalty: repetitionPenalty,
  };
}
