/**
 * Choosing the next token from logits. Definitions and order are those of transformers (generation/logits_process.py
 * and GenerationMixin._get_logits_processor, 5.x): repetition penalty; then, unless the choice is greedy, temperature,
 * top-k, top-p and sampling.
 */

import { ConfigError, DataError } from "../errors.ts";
import type { NumberRange } from "../number-range.ts";
import { checkNumber } from "../number-range.ts";
import type { Rng } from "../rng.ts";

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

export class Sampler {
  private weights = new Float64Array(0);

  /** `options` must have passed `checkSampling`. */
  constructor(
    private readonly options: SamplingOptions,
    private readonly rng: Rng,
  ) {}

  /** The next token by logits [V], which are changed; `seen` are the tokens so far, each once. */
  pick(logits: Float32Array, seen: Iterable<number>): number {
    const { temperature, repetitionPenalty } = this.options;
    if (repetitionPenalty !== 1) penalize(logits, seen, repetitionPenalty);
    const best = largest(logits);
    if (temperature === 0) return best;
    const weights = this.weigh(logits, logits[best]!);
    let rest = this.rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
    let last = best;
    for (let id = 0; id < weights.length; id++) {
      if (weights[id] === 0) continue;
      last = id;
      rest -= weights[id]!;
      if (rest < 0) break;
    }
    return last;
  }

  /** Probabilities, up to a common factor, of the candidate tokens; 0 for the others. Valid until the next call. */
  private weigh(logits: Float32Array, top: number): Float64Array {
    const { temperature, topK, topP } = this.options;
    if (this.weights.length !== logits.length) this.weights = new Float64Array(logits.length);
    const { weights } = this;
    const lowest = topK > 0 && topK < logits.length ? nthLargest(logits, topK) : -Infinity;
    for (let id = 0; id < logits.length; id++)
      weights[id] = logits[id]! < lowest ? 0 : Math.exp((logits[id]! - top) / temperature);
    if (topP < 1) cutTail(weights, topP);
    return weights;
  }
}

/** Reference: Keskar et al. 2019 (CTRL), section 4.1; RepetitionPenaltyLogitsProcessor. */
function penalize(logits: Float32Array, seen: Iterable<number>, penalty: number): void {
  for (const id of seen) {
    const logit = logits[id]!;
    logits[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
}

/** Index of the largest number. Throws DataError if it is not finite, or if one is NaN. */
function largest(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    // Not `>`: a NaN must not be passed over.
    if (logits[id]! <= logits[best]!) continue;
    best = id;
    if (Number.isNaN(logits[id])) break;
  }
  if (!Number.isFinite(logits[best]))
    throw new DataError("not-finite", "the model's logits are not finite", {
      found: `${logits[best]} for token ${best}`,
      hint: "its weights or the adapter's are damaged, or its training diverged",
    });
  return best;
}

/** The n-th largest of the numbers, n from 1. Reference: Hoare 1961, FIND. */
function nthLargest(numbers: Float32Array, n: number): number {
  const work = numbers.slice();
  const wanted = work.length - n;
  let [low, high] = [0, work.length - 1];
  while (low < high) {
    const pivot = work[(low + high) >> 1]!;
    let [i, j] = [low, high];
    while (i <= j) {
      while (work[i]! < pivot) i++;
      while (work[j]! > pivot) j--;
      if (i > j) break;
      [work[i], work[j]] = [work[j]!, work[i]!];
      i++;
      j--;
    }
    if (wanted <= j) high = j;
    else if (wanted >= i) low = i;
    else break;
  }
  return work[wanted]!;
}

/**
 * Sets the least likely weights to 0: as many as have at most 1 - topP of the sum together. Reference: Holtzman et al.
 * 2020 (nucleus sampling); TopPLogitsWarper.
 */
function cutTail(weights: Float64Array, topP: number): void {
  const limit = (1 - topP) * weights.reduce((sum, weight) => sum + weight, 0);
  // Weights below the limit divided by their number are dropped in any case: only the others need sorting.
  const heavy: number[] = [];
  let cut = 0;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id]! > limit / weights.length) heavy.push(id);
    else {
      cut += weights[id]!;
      weights[id] = 0;
    }
  }
  heavy.sort((a, b) => weights[a]! - weights[b]! || b - a);
  for (const id of heavy.slice(0, -1)) {
    cut += weights[id]!;
    if (cut > limit) return;
    weights[id] = 0;
  }
}
