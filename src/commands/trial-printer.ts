import { formatDuration } from "../format.ts";
import type { Trial } from "../study/grid.ts";
import type { SweepEvent } from "../study/runner.ts";
import type { TrialRecord } from "../study/store.ts";
import type { Objective } from "../tasks/index.ts";
import { describeMeasured } from "../views/measures.ts";
import { terminalMessage } from "../views/terminal/flag-words.ts";
import {
  createProgress,
  describeEvaluation,
  describeRate,
  describeStep,
  type Progress,
} from "../views/terminal/progress.ts";

/**
 * Prints the progress of trials: on a terminal a live bar for those that are trained, elsewhere a line per evaluation.
 */
export class TrialPrinter {
  constructor(
    private readonly objective: Objective,
    /** What a trial is called, and its title. */
    private readonly word: string,
    private readonly title: (trial: Trial) => string,
  ) {}

  private progress: Progress | undefined;
  /** The trials of the last group. */
  private count = 1;

  event(event: SweepEvent): void {
    switch (event.type) {
      case "elsewhere":
        console.error(`begun by another process: ${this.title(event.trial)}`);
        break;
      case "skip":
        console.log(`already finished: ${this.line(event.trial, event.record)}`);
        break;
      case "group":
        this.count = event.count;
        if (event.count > 1) console.error(`${event.count} ${this.word}s at once`);
        break;
      case "divided":
        console.error(
          `${event.count} ${this.word}s cannot begin at once, one half follows the other: ${terminalMessage(event.error)}`,
        );
        break;
      case "trial":
        console.error(`${this.word} ${event.index + 1} of ${event.count}: ${this.title(event.trial)}`);
        break;
      case "resumed":
        console.error(`${this.count > 1 ? `${this.title(event.trial)}: ` : ""}resumed at step ${event.step}`);
        break;
      case "evaluation": {
        if (process.stderr.isTTY) break;
        const { trial, record, steps, together } = event;
        const name = this.count > 1 ? `${this.title(trial)}: ` : "";
        console.error(`${name}${describeEvaluation(this.objective, record, steps, together.secondsLeft)}`);
        break;
      }
      case "step": {
        const { record, examplesPerSecond, together } = event;
        const { count, step, steps, secondsLeft } = together;
        if (process.stderr.isTTY) this.progress ??= createProgress({ total: steps, stream: process.stderr });
        const text =
          count > 1
            ? `${count} ${this.word}s at once  ${describeRate("examples", examplesPerSecond, secondsLeft)}`
            : describeStep(this.objective, { ...record, examplesPerSecond, secondsLeft });
        this.progress?.update(step, text, steps);
        break;
      }
      case "done": {
        this.stop();
        const left = event.left > 0 ? `; ${formatDuration(event.secondsLeft)} left` : "";
        console.log(`${this.line(event.trial, event.record)}${left}`);
        break;
      }
      case "failed":
        this.stop();
        console.error(`failed: ${this.title(event.trial)}\n${event.error.name}: ${terminalMessage(event.error)}`);
    }
  }

  stop(): void {
    this.progress?.stop();
    this.progress = undefined;
  }

  private line(trial: Trial, record: TrialRecord): string {
    const { results, seconds } = record;
    const [val, test] = [results.after.val, results.after.test].map((one) => describeMeasured(this.objective, one));
    return `${this.title(trial)}: validation ${val}, test ${test}, ${formatDuration(seconds)}`;
  }
}
