/** sweep --minutes: trains by halving what fits into the time. */
import { formatDuration } from "../format.ts";
import { countOf } from "../io/common.ts";
import { takesSteps } from "../methods/index.ts";
import type { Cell, Trial } from "../study/grid.ts";
import { type Candidate, halve, listEpochs, Pace, type Step } from "../study/halving.ts";
import { readFinished, type TrialRecord } from "../study/store.ts";
import { printNote } from "./cli.ts";

/** Trains those of some trials that are to be trained here and are not finished. */
type RunTrials = (trials: readonly Trial[]) => Promise<void>;

/** Decides which trials are run, and in which order: with an aborted `signal` no more. */
export type Strategy = (out: string, cells: readonly Cell[], run: RunTrials, signal: AbortSignal) => Promise<void>;

/** Does work with a signal that is aborted with another one, and when the time is up. */
export async function withDeadline(
  other: AbortSignal,
  secondsLeft: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const deadline = new AbortController();
  const pass = () => {
    printNote("the time is up: stopping after a checkpoint");
    deadline.abort();
  };
  const timer = setTimeout(pass, 1000 * Math.max(0, secondsLeft));
  await work(AbortSignal.any([other, deadline.signal])).finally(() => clearTimeout(timer));
}

/** Trains the candidates by halving, and says each step. */
export function halving(
  costOf: (trial: Trial) => number,
  candidates: readonly Candidate[],
  secondsLeft: () => number,
): Strategy {
  return async (out, cells, run, signal) => {
    const losses = new Map<string, number>();
    const pace = new Pace();
    /** Takes what is known of trials that have finished, in so many seconds together. */
    const take = async (trials: readonly Trial[], seconds = 0) => {
      const finished: [Trial, TrialRecord][] = [];
      for (const trial of trials) {
        const record = await readFinished(out, trial);
        if (record) finished.push([trial, record]);
      }
      // A trial's own seconds are without opening its model.
      const more = seconds - finished.reduce((sum, [, record]) => sum + record.seconds, 0);
      for (const [trial, record] of finished) {
        losses.set(trial.key, record.results.after.val.loss);
        if (takesSteps(trial.options.mode))
          pace.measure(trial.model, costOf(trial), record.seconds + Math.max(0, more) / finished.length);
      }
    };
    const all = cells.flatMap(({ rates }) => rates.flat());
    // What takes seconds is what the others are to beat.
    await run(all.filter(({ options }) => !takesSteps(options.mode)));
    await take(all);
    await halve({
      ...{ candidates, losses, costOf, pace, secondsLeft, signal },
      onStep: (step, seconds) => printNote(describeStep(candidates, step, seconds)),
      async run(trials) {
        const before = secondsLeft();
        await run(trials);
        await take(trials, before - secondsLeft());
      },
    });
    const untried = candidates.filter(({ rungs }) => !losses.has(rungs[0]![0]!.key)).length;
    if (untried > 0 && (!signal.aborted || secondsLeft() <= 0))
      printNote(
        `${untried} of ${countOf(candidates, "setting")} not tried: the same command goes on with more minutes`,
      );
  };
}

/** "rung 2 of 3: 4 trials, epochs: 3, about 40 s" */
function describeStep(candidates: readonly Candidate[], { rung, trials }: Step, seconds: number): string {
  const chosen = rung > 0 ? "with the lowest validation loss" : `of ${candidates.length} settings`;
  const time = Number.isNaN(seconds) ? "" : `, about ${formatDuration(seconds)}`;
  return `rung ${rung + 1} of ${candidates[0]!.rungs.length}: ${countOf(trials, "trial")} ${chosen}, epochs: ${listEpochs(trials)}${time}`;
}
