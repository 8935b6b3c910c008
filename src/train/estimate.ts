/** Estimates the memory, time and operations of a run, from its plan and a few steps. */

import type { Dataset } from "../data/dataset.ts";
import { TokenSet } from "../data/text/token-set.ts";
import type { TrainingData } from "../data/training-data.ts";
import { takesSteps } from "../methods/index.ts";
import { roomFor } from "../model/batch.ts";
import type { Segment } from "../plan/plan.ts";
import { countFlops } from "../plan/work.ts";
import type { Job } from "./job.ts";
import { peakMemory } from "./plan-event.ts";
import { prepareRun } from "./prepare.ts";
import { checkFits } from "./sizes.ts";
import { train } from "./trainer.ts";

/** Timed steps, after one warm-up step. */
const STEPS = 3;

export interface TrialEstimate {
  /** The name of the device that was chosen. */
  device: string;
  trainable: number;
  bytes: number;
  /**
   * Estimated seconds of the whole run: those before its first step, and all steps at the speed of the timed ones. A
   * probe reads all texts at the speed of the first ones.
   */
  seconds: number;
}

/**
 * Times the first steps of a run on as many rows as they take, with small validation and test sets. The features of
 * the first rows are computed; those of all take longer by the share of the tokens.
 */
export async function estimateTrial(args: Job): Promise<TrialEstimate> {
  const abort = new AbortController();
  const estimate: TrialEstimate = { device: "", trainable: 0, bytes: 0, seconds: 0 };
  const { options, features } = prepareRun(args);
  const { batchSize, accumulate } = options;
  const data = {
    ...args.data,
    train: few(args.data.train, (1 + STEPS) * batchSize * accumulate),
    val: few(args.data.val, ROWS),
    test: few(args.data.test, ROWS),
  } as TrainingData;
  const { train: rows, val, test } = args.data;
  const tokens = countTokens([rows, val, test]);
  const isStepped = takesSteps(options.mode);
  const others = features || !isStepped ? tokens / countTokens([data.train, data.val]) - 1 : 0;
  const begun = performance.now();
  let [started, before, first, steps] = [0, 0, 0, 0];
  const ready = (now: number) => {
    before ||= now - begun + (now - started) * others;
  };
  const short = {
    ...args,
    ...options,
    data,
    featureBudget: features ? Infinity : 0,
    // Only before the first step.
    ...(isStepped && { evalEvery: 2 + STEPS }),
  };
  await train(short, {
    signal: abort.signal,
    onEvent(event) {
      const now = performance.now();
      if (event.type === "plan") {
        // On the device that was chosen: one that is too small for all rows is left, or named in the error.
        const whole = prepareRun(args);
        checkFits(args, whole, whole.options);
        estimate.device = event.device.name;
        estimate.trainable = whole.trainable;
        estimate.bytes = peakMemory(whole);
        steps = whole.stepCounts.total;
      }
      if (event.type === "start") started = now;
      if (event.type === "evaluation" && event.record.step === 0) ready(now);
      if (event.type === "features" && !isStepped && event.done === event.rows) {
        ready(now);
        estimate.seconds = before / 1000;
        abort.abort();
      }
      if (event.type !== "step") return;
      if (event.record.step === 1) {
        first = now;
        ready(now);
      }
      const timed = event.record.step - 1;
      if (timed > 0) estimate.seconds = (before + (steps * (now - first)) / timed) / 1000;
      if (timed === STEPS) abort.abort();
    },
  }).catch((error) => {
    // A probe that is stopped has no result.
    if (!abort.signal.aborted) throw error;
  });
  return estimate;
}

/** Number of rows to evaluate on. */
const ROWS = 8;
/** Of the rows that are timed. */
const SEED = 1;

function few(set: Dataset | TokenSet, rows: number): Dataset | TokenSet {
  if (set.size <= rows) return set;
  return set instanceof TokenSet ? set.first(rows) : set.select(set.order(SEED, 0).subarray(0, rows));
}

const countTokens = (sets: readonly TrainingData["train"][]) => sets.reduce((sum, set) => sum + set.stats().tokens, 0);

/** A device without limits and the default limit of features: an estimate is the same on every machine. */
const ANYWHERE = { device: { limits: { maxBinding: Infinity, maxBuffer: Infinity } }, featureBudget: 1e9 };

/**
 * Operations in the matrix products of a whole run: its features, its steps and its evaluations. They follow from
 * the settings, the model's shape and the data. Throws ConfigError or DataError if these do not match.
 */
export function countOperations(run: Omit<Job, "device" | "featureBudget">): number {
  const { flops, spec, plan, features, options, stepCounts } = prepareRun({ ...run, ...ANYWHERE });
  const { batchSize, accumulate, evalEvery } = options;
  const { train, val, test } = run.data;
  const { tokens, rows } = train.stats();
  const mean = roomFor(spec, { tokens: Math.round((batchSize * tokens) / rows), sequences: batchSize });
  if (!takesSteps(options.mode)) return Math.round(((train.size + val.size + test.size) / batchSize) * flops);
  const forward = (segments: readonly Segment[]) =>
    countFlops(
      segments.filter(({ name }) => name === "forward"),
      mean,
    );
  const evaluations = 1 + Math.ceil(stepCounts.total / (evalEvery || Math.ceil(stepCounts.stepsPerEpoch / 2)));
  // At the end the test set and at most as many training rows, with the kept parameters and mostly the first ones.
  const evaluated = evaluations * val.size + 2 * (test.size + Math.min(train.size, test.size));
  const steps = stepCounts.total * accumulate * flops + (evaluated / batchSize) * forward(plan.segments);
  const once = features ? ((train.size + val.size + test.size) / batchSize) * forward(features.plan.segments) : 0;
  return Math.round(steps + once);
}
