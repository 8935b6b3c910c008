/** What a run would need, without running it: its plan, and the time of a few of its steps. */
import type { Dataset } from "../data/dataset.ts";
import type { ModelPlan } from "../model/gpt2.ts";
import { type FineTuneArguments, fineTune } from "./trainer.ts";

/** Steps that are timed, after one that warms up. */
const STEPS = 3;

export interface Estimate {
  plan: ModelPlan;
  trainable: number;
  /** Steps of the whole run. */
  steps: number;
  secondsPerStep: number;
}

/** Times the first steps of a run, with few rows to evaluate on. */
export async function estimateTrial(args: FineTuneArguments): Promise<Estimate> {
  const abort = new AbortController();
  const found: Partial<Estimate> = {};
  let first = performance.now();
  const data = { ...args.data, val: few(args.data.val), test: few(args.data.test) };
  await fineTune({
    ...args,
    data,
    signal: abort.signal,
    onEvent(event) {
      if (event.type === "plan") Object.assign(found, { plan: event.plan, trainable: event.trainable });
      if (event.type === "start") found.steps = event.steps;
      if (event.type !== "step") return;
      if (event.record.step === 1) first = performance.now();
      const timed = event.record.step - 1;
      if (timed > 0) found.secondsPerStep = (performance.now() - first) / 1000 / timed;
      if (timed === STEPS) abort.abort();
    },
  });
  return found as Estimate;
}

/** Rows of a set that an estimate evaluates on. */
const ROWS = 8;

function few(set: Dataset): Dataset {
  return set.size > ROWS ? set.split([ROWS / set.size, 1 - ROWS / set.size])[0]! : set;
}
