/** The progress of a run: a live bar on a terminal, otherwise (a log file, a pipe) occasional lines. */
import { formatDuration } from "../../core/format.ts";
import type { Objective } from "../../tasks/index.ts";
import type { EvaluationRecord, Speed } from "../../train/records.ts";
import { describeMeasured, type Evaluated } from "../measures.ts";
import { endBar, startBar, type Terminal } from "./live-bar.ts";

export interface Progress {
  /** Shows `done` of `total`, which may have changed, with its figures. */
  update(done: number, text: string, total?: number): void;
  /** Ends the bar and leaves its last state visible. */
  stop(): void;
}

/** Without a terminal, one line is printed per twentieth of the work, including the last one. */
const LINES = 20;

export function createProgress({
  total,
  unit = "step",
  stream,
}: {
  total: number;
  unit?: string;
  stream: Terminal;
}): Progress {
  return stream.isTTY === true ? liveBar(total, stream) : plainLines(total, unit, stream);
}

function liveBar(total: number, stream: Terminal): Progress {
  let text = "";
  const start = (all: number, done: number) => {
    const bar = startBar(stream, ({ value, total }) => [`${value}/${total}`, text].filter(Boolean).join("  "));
    bar.start(all, done);
    return bar;
  };
  let bar = start(total, 0);
  return {
    update: (done, words, now = total) => {
      text = words;
      // It was ended for other words: another one begins below them.
      if (!bar.isActive) bar = start(now, done);
      bar.setTotal(now);
      bar.update(done);
    },
    stop: endBar,
  };
}

function plainLines(total: number, unit: string, stream: NodeJS.WritableStream): Progress {
  let printed = -1;
  return {
    update(done, text) {
      const part = Math.floor((done / total) * LINES);
      if (part <= printed) return;
      printed = part;
      stream.write(`${unit} ${done}/${total}  ${text}\n`);
    },
    stop() {},
  };
}

/** "epoch 2  loss 0.4321  accuracy 80.0 %  1 min 15 s left  42 examples/s". */
export function describeStep(
  objective: Objective,
  { epoch, examplesPerSecond, secondsLeft, ...evaluation }: Evaluated & Omit<Speed, "accuracy"> & { epoch: number },
): string {
  const rate = describeRate("examples", examplesPerSecond, secondsLeft);
  return [`epoch ${Math.ceil(epoch)}`, ...describeFigures(objective, evaluation), rate].join("  ");
}

/** "step 40/120  loss 0.4321  accuracy 80.0 %  validation loss 0.5012  accuracy 75.0 %  2 min 05 s left". */
export function describeEvaluation(
  objective: Objective,
  { step, train, val }: Pick<EvaluationRecord, "step" | "train" | "val">,
  steps: number,
  secondsLeft: number,
): string {
  const figures = [
    ...(train ? describeFigures(objective, train) : []),
    ...describeFigures(objective, val, "validation loss"),
  ];
  const left = Number.isFinite(secondsLeft) && step < steps ? [`${formatDuration(secondsLeft)} left`] : [];
  return [`step ${step}/${steps}`, ...figures, ...left].join("  ");
}

function describeFigures(objective: Objective, evaluation: Evaluated, name = "loss"): string[] {
  const measured = describeMeasured(objective, evaluation)?.replaceAll("\u00a0", " ");
  return [`${name} ${evaluation.loss!.toFixed(4)}`, ...(measured === undefined ? [] : [measured])];
}

/** "1 min 15 s left  42 rows/s". */
export function describeRate(unit: string, perSecond: number, secondsLeft: number): string {
  const rate = `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} ${unit}/s`;
  return Number.isFinite(secondsLeft) ? `${formatDuration(secondsLeft)} left  ${rate}` : rate;
}
