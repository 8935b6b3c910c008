/** The output of train: its data, the progress of a run, its results and where it is saved. */

import { joinPath } from "#platform";
import { formatDuration } from "../core/format.ts";
import { USUAL_FOLDS } from "../data/sets/folds.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { Block } from "../document/blocks.ts";
import { METHODS, takesSteps } from "../methods/index.ts";
import { REPORT, type RunRecord } from "../record/record.ts";
import { TRAINING } from "../tasks/training.ts";
import type { Speed, TrainEvent } from "../train/records.ts";
import type { TrainOptions } from "../train/settings.ts";
import { dataBlocks } from "../views/data.ts";
import { planBlocks } from "../views/plan.ts";
import { inSummary, summaryBlocks, useCommands } from "../views/run.ts";
import { createProgress, describeStep, type Progress } from "../views/terminal/progress.ts";
import { renderBlocks } from "../views/terminal/render.ts";
import { terminalWidth } from "../views/terminal/width.ts";
import { calledAs, shellWord } from "./called.ts";
import { print } from "./cli.ts";

/** Prints the progress of a run: a live bar on a terminal, plain lines elsewhere, or JSON. */
export class RunPrinter {
  private progress: Progress | undefined;
  private step = 0;
  private unit = "step";

  constructor(
    private readonly json: boolean,
    private readonly data: TrainingData,
  ) {}

  begin({ model, options: { classWeights, mode } }: RunRecord): void {
    this.unit = takesSteps(mode) ? "step" : "row";
    printData(this.data, model || METHODS[mode].title, { classWeights, mode }, this.json);
  }

  event(event: TrainEvent, speed: Speed | null): void {
    if (this.json) {
      const shown = jsonEvent(event);
      if (shown) console.log(JSON.stringify(shown));
      return;
    }
    switch (event.type) {
      case "plan":
        printBlocks(inSummary(planBlocks(event)));
        break;
      case "start":
        // Again where the run continues on another device.
        this.stop();
        this.progress = createProgress({ total: event.steps, unit: this.unit, stream: process.stderr });
        break;
      case "step": {
        const { step, epoch } = event.record;
        this.step = step;
        this.progress?.update(step, describeStep(this.data.objective, { ...speed!, epoch }));
        break;
      }
      case "features":
        this.progress?.update(event.done, `reading texts  ${formatDuration(event.secondsLeft)} left`);
        break;
      case "measure":
        this.progress?.update(this.step, `measuring  ${formatDuration(event.secondsLeft)} left`);
        break;
      case "end":
        this.stop();
    }
  }

  result(record: RunRecord): void {
    const { options, state, keptStep, seconds, results } = record;
    if (this.json) console.log(JSON.stringify({ type: "end", options, state, keptStep, seconds, results }));
    else printBlocks(summaryBlocks(record));
  }

  saved(directory: string, record: RunRecord): void {
    const { state, peftObstacle } = record;
    const peft = peftObstacle === null;
    const report = joinPath(directory, REPORT);
    if (this.json) {
      console.log(JSON.stringify({ type: "saved", directory, report, peft, reason: peftObstacle ?? undefined }));
      return;
    }
    print(`saved to ${directory}${state === "stopped" ? " (stopped early)" : ""}; report: ${report}`);
    if (wouldGainByFolds(record))
      print(
        `measured on ${record.counts.rows[2]} rows alone: train --folds ${USUAL_FOLDS} measures on all rows, and learns from all`,
      );
    tryIt(directory, record);
  }

  stop(): void {
    this.progress?.stop();
    this.progress = undefined;
  }
}

/** With fewer test rows the interval of an accuracy is wider than 10 points. */
const FEW_TEST_ROWS = 200;

/** Whether it was measured on a small part of a file's rows, all of which folds would measure on. */
const wouldGainByFolds = ({ results, counts, data, objective, options, adapter }: RunRecord): boolean =>
  results !== null &&
  TRAINING[objective].answers !== undefined &&
  adapter === undefined &&
  !METHODS[options.mode].withoutModel &&
  typeof data.file === "string" &&
  counts.rows[2]! < FEW_TEST_ROWS;

export function printData(
  data: TrainingData,
  model: string,
  { classWeights, mode }: Pick<TrainOptions, "classWeights" | "mode">,
  json: boolean,
): void {
  const { source, labels, stats } = data;
  if (json) console.log(JSON.stringify({ type: "data", model, source, labels, stats }));
  else printBlocks(inSummary(dataBlocks(data, model, classWeights, mode)));
}

/** Prints the commands that use a run: on a text, and on a table. */
export function tryIt(directory: string, record: RunRecord): void {
  for (const [i, [tool, ...words]] of useCommands(record, directory, "new-labelled.csv").entries())
    print([i === 0 ? "try it: " : "label a table: ", calledAs(tool), ...words.map(shellWord)].join(" "));
}

/** Fitted to the terminal; lines of text are as they are if the output is not a terminal. */
export function printBlocks(blocks: readonly Block[]): void {
  console.log(renderBlocks(blocks, terminalWidth(process.stdout)));
}

/** An event without its large parts: the plan, a checkpoint. `Printer.result` prints the end. */
function jsonEvent(event: TrainEvent): object | null {
  if (event.type === "plan") return { type: "plan", device: event.device, trainable: event.trainable };
  if (event.type === "resume") return { type: "resume", step: event.checkpoint.step };
  return event.type === "end" || event.type === "measure" || event.type === "features" ? null : event;
}
