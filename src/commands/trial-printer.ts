/** The output of sweep and train --seeds: the data, the progress of trials, and their results. */
import { joinPath } from "#platform";
import { describeDevice } from "../backend/backend.ts";
import { type LowrankError, nameList } from "../core/errors.ts";
import { formatDuration } from "../core/format.ts";
import type { TrainingData } from "../data/training-data.ts";
import { type Block, text } from "../document/blocks.ts";
import { countOf } from "../io/common.ts";
import { takesSteps } from "../methods/index.ts";
import { readRecord } from "../run/directory.ts";
import { type Cell, runnableTrials, type Trial, titleTrials } from "../study/grid.ts";
import { finishedTrials, listOutcomes } from "../study/outcome.ts";
import { type Asked, recommendation } from "../study/report/recommend.ts";
import { summaryBlocks } from "../study/report/summary.ts";
import type { StudyEvent } from "../study/runner.ts";
import { type FinishedCell, type TrialRecord, trialDirectory } from "../study/store.ts";
import { DEFAULTS } from "../train/options.ts";
import type { RunSettings } from "../train/settings.ts";
import { describeMeasured, judgedBy } from "../views/measures.ts";
import { planBlocks } from "../views/plan.ts";
import { inSummary } from "../views/run.ts";
import { terminalMessage } from "../views/terminal/flag-words.ts";
import {
  createProgress,
  describeEvaluation,
  describeRate,
  describeStep,
  type Progress,
} from "../views/terminal/progress.ts";
import { calledAs } from "./called.ts";
import { print } from "./cli.ts";
import { printBlocks, printData, tryIt } from "./run-printer.ts";

/**
 * Prints the progress of trials: on a terminal a live bar for those that are trained, elsewhere a line per evaluation,
 * or events as JSON, one per line.
 */
export class TrialPrinter {
  private progress: Progress | undefined;
  /** The trials of the last group. */
  private count = 1;
  private isPlanned = false;
  private isRead = false;
  /** Whether they take a second each, after the first has read the texts: only the texts are worth a line. */
  private readonly isBrief: boolean;

  constructor(
    private readonly data: TrainingData,
    private readonly json: boolean,
    private readonly cells: readonly Cell[],
    private readonly title: (trial: Trial) => string = titleTrials(cells),
  ) {
    const trials = cells.flatMap(({ rates }) => rates.flat());
    this.isBrief = trials.length > 0 && !trials.some(({ options }) => takesSteps(options.mode));
  }

  /** Prints the data; `base` is what the trials have in common. */
  begin({ model = "", ...settings }: RunSettings): void {
    printData(this.data, model, { ...DEFAULTS, ...settings }, this.json);
  }

  event(event: StudyEvent, error?: LowrankError): void {
    const message = error && terminalMessage(error);
    if (this.json) console.log(JSON.stringify(jsonEvent(event)));
    else if (this.isBrief) this.showBrief(event, message);
    else this.show(event, message);
  }

  private showBrief(event: StudyEvent, message?: string): void {
    // The first trial reads all texts, and the others take what it has read.
    if (event.type === "features" && !this.isRead) {
      const { done, rows, secondsLeft } = event;
      this.progress ??= createProgress({ total: rows, unit: "row", stream: process.stderr });
      this.progress.update(done, `reading texts  ${formatDuration(secondsLeft)} left`);
      this.isRead = done === rows;
      if (this.isRead) this.stop();
    } else if (["elsewhere", "failed"].includes(event.type)) this.show(event, message);
    else if (event.type === "plan" && !this.isPlanned) {
      print(`device: ${describeDevice(event.plan.device)}`);
      this.isPlanned = true;
    }
  }

  /** `message`: of the event's error, with the names of flags. */
  private show(event: StudyEvent, message?: string): void {
    const { objective } = this.data;
    switch (event.type) {
      case "elsewhere":
        console.error(`begun by another process: ${this.title(event.trial)}`);
        break;
      case "skip":
        console.log(`already finished: ${this.line(event.trial, event.record)}`);
        break;
      case "group":
        this.count = event.count;
        if (event.count > 1) console.error(`${event.count} trials at once`);
        break;
      case "trial":
        console.error(`trial ${event.index + 1} of ${event.count}: ${this.title(event.trial)}`);
        break;
      case "plan":
        if (!this.isPlanned) printBlocks(inSummary(this.describePlan(event.plan)));
        this.isPlanned = true;
        break;
      case "resumed":
        console.error(`${this.count > 1 ? `${this.title(event.trial)}: ` : ""}resumed at step ${event.step}`);
        break;
      case "evaluation": {
        if (process.stderr.isTTY) break;
        const { trial, record, steps, together } = event;
        const name = this.count > 1 ? `${this.title(trial)}: ` : "";
        console.error(`${name}${describeEvaluation(objective, record, steps, together.secondsLeft ?? Infinity)}`);
        break;
      }
      case "step": {
        const { record, examplesPerSecond, together } = event;
        const { count, step, steps } = together;
        const secondsLeft = together.secondsLeft ?? Infinity;
        if (process.stderr.isTTY) this.progress ??= createProgress({ total: steps, stream: process.stderr });
        const text =
          count > 1
            ? `${count} trials at once  ${describeRate("examples", examplesPerSecond, secondsLeft)}`
            : describeStep(objective, { ...record, examplesPerSecond, secondsLeft });
        this.progress?.update(step, text, steps);
        break;
      }
      case "done": {
        this.stop();
        const { left, secondsLeft } = event;
        const rest = left > 0 && secondsLeft !== null ? `; ${formatDuration(secondsLeft)} left` : "";
        console.log(`${this.line(event.trial, event.record)}${rest}`);
        break;
      }
      case "failed":
        this.stop();
        console.error(`failed: ${this.title(event.trial)}\n${event.error.name}: ${message}`);
    }
  }

  /** Prints what the finished trials have reached, and where the report is. `best`: the one to use. */
  async end(
    out: string,
    cells: readonly FinishedCell[],
    failed: ReadonlyMap<string, LowrankError>,
    best: TrialRecord | undefined,
    asked: Asked,
  ): Promise<void> {
    const finished = new Map(finishedTrials(cells).map((record) => [record.trial.key, record]));
    const outcomes = listOutcomes(cells, judgedBy(this.data));
    const all = runnableTrials(cells, ({ chosen = 0 }) => chosen);
    const report = joinPath(out, "report.html");
    if (this.json) {
      const isKnown = ({ key }: Trial) => finished.has(key) || failed.has(key);
      // Halving does not run all of them.
      const trials = (asked.candidates ? all.filter(isKnown) : all).map((trial) => {
        const [record, error] = [finished.get(trial.key), failed.get(trial.key)];
        return { ...nameEvent(trial), ...(record && reached(record)), ...(error && { error: error.message }) };
      });
      console.log(JSON.stringify({ type: "end", trials, best: best?.trial.name ?? null }));
      if (finished.size > 0) console.log(JSON.stringify({ type: "saved", directory: out, report }));
      return;
    }
    if (best) {
      printBlocks(summaryBlocks(out, outcomes, this.data));
      printBlocks(recommendation(outcomes, this.data, asked, calledAs("train")));
    }
    if (finished.size > 0) {
      const of = asked.candidates ? "" : ` of ${all.length}`;
      print(`report of ${finished.size}${of} trials: ${report}`);
    }
    // In the order of the trials: those at the same time fail in any.
    const titles = all.filter(({ key }) => failed.has(key)).map(this.title);
    if (titles.length > 0) print(`${countOf(titles, "trial")} failed: ${nameList(titles)}`);
    this.wait(cells);
    if (!best) return;
    tryIt(out, await readRecord(trialDirectory(out, best.trial)));
  }

  /** Says where trials of other shards are missing for a learning rate to be chosen. */
  private wait(cells: readonly FinishedCell[]): void {
    const waiting = cells.filter(({ missing }) => missing.length > 0);
    const missing = waiting.flatMap((cell) => cell.missing);
    const words = `the learning rate of ${countOf(waiting, "setting")} is chosen after ${countOf(missing, "trial")} of other shards`;
    if (missing.length > 0) print(`${words}: then run this command again`);
  }

  stop(): void {
    this.progress?.stop();
    this.progress = undefined;
  }

  /** Of several settings, each has its own plan. */
  private describePlan(plan: Parameters<typeof planBlocks>[0]): Block[] {
    return this.cells.length > 1 ? [text(`device: ${describeDevice(plan.device)}`)] : planBlocks(plan);
  }

  private line(trial: Trial, record: TrialRecord): string {
    const { objective } = this.data;
    const { results, seconds, folds } = record;
    if (folds !== undefined) return `${this.title(trial)}: ${formatDuration(seconds)}`;
    const [val, test] = [results.after.val, results.after.test].map((evaluation) =>
      describeMeasured(objective, evaluation),
    );
    return `${this.title(trial)}: validation ${val}, test ${test}, ${formatDuration(seconds)}`;
  }
}

const nameEvent = ({ name, options: { seed } }: Trial) => ({ trial: name, seed });

/** A run's results, with the parameters that are kept. */
export const reached = ({ results: { after }, seconds }: TrialRecord) => ({
  val: after.val,
  test: after.test,
  seconds,
});

/** An event without its large parts. */
function jsonEvent(event: StudyEvent): object {
  const named = {
    type: event.type,
    ...("trial" in event && nameEvent(event.trial)),
    ...("count" in event && { count: event.count }),
  };
  if ("plan" in event) return { ...named, device: event.plan.device, trainable: event.plan.trainable };
  if ("error" in event) return { ...named, error: event.error.message };
  if ("together" in event) return { ...named, record: event.record, secondsLeft: event.together.secondsLeft };
  if ("record" in event) return { ...named, ...reached(event.record) };
  return "step" in event ? { ...named, step: event.step } : named;
}
