/** The progress of a run: a live bar on a terminal, otherwise (a log file, a pipe) occasional lines. */
import { formatDuration } from "../../format.ts";
import { endBar, startBar, type Terminal } from "./live-bar.ts";

/** What is shown of a training step. */
export interface StepState {
  epoch: number;
  /** Recent training loss; null if unknown. */
  loss: number | null;
  /** What the run is judged by: "accuracy 93.1 %"; null if unknown. */
  measured: string | null;
  examplesPerSecond: number;
  secondsLeft: number;
}

/** What is shown of an evaluation. */
interface EvaluationState {
  step: number;
  steps: number;
  /** Of the steps since the evaluation before; undefined at the start. */
  train?: Measured | undefined;
  val: Measured;
  secondsLeft: number;
}

type Measured = Pick<StepState, "loss" | "measured">;

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

export function describeStep({ epoch, loss, measured, examplesPerSecond, secondsLeft }: StepState): string {
  return [
    `epoch ${epoch}`,
    ...describeMeasure({ loss, measured }),
    describeRate("examples", examplesPerSecond, secondsLeft),
  ].join("  ");
}

/** "step 40/120  loss 0.4321  accuracy 80.0 %  validation loss 0.5012  accuracy 75.0 %  2 min 05 s left". */
export function describeEvaluation({ step, steps, train, val, secondsLeft }: EvaluationState): string {
  const measures = [...(train ? describeMeasure(train) : []), ...describeMeasure(val, "validation loss")];
  const left = Number.isFinite(secondsLeft) && step < steps ? [`${formatDuration(secondsLeft)} left`] : [];
  return [`step ${step}/${steps}`, ...measures, ...left].join("  ");
}

function describeMeasure({ loss, measured }: Measured, name = "loss"): string[] {
  return [
    ...(loss === null ? [] : [`${name} ${loss.toFixed(4)}`]),
    ...(measured === null ? [] : [measured.replaceAll("\u00a0", " ")]),
  ];
}

/** "1 min 15 s left  42 rows/s". */
export function describeRate(unit: string, perSecond: number, secondsLeft: number): string {
  const rate = `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} ${unit}/s`;
  return Number.isFinite(secondsLeft) ? `${formatDuration(secondsLeft)} left  ${rate}` : rate;
}
