/** The progress of a run: a live bar on a terminal, otherwise (a log file, a pipe) occasional lines. */
import cliProgress from "cli-progress";
import { showDuration } from "./duration.ts";

export interface ProgressState {
  /** Finished steps, of `total`. */
  step: number;
  epoch: number;
  /** Recent training loss; null if unknown. */
  loss: number | null;
  /** Recent accuracy, within [0, 1]; null if unknown. */
  accuracy: number | null;
  examplesPerSecond: number;
  secondsLeft: number;
}

export interface Progress {
  update(state: ProgressState): void;
  /** Ends the bar and leaves its last state visible. */
  stop(): void;
}

/** Without a terminal, one line is printed per twentieth of the run, including the last step. */
const LINES = 20;

export function createProgress({
  total,
  stream,
}: {
  total: number;
  stream: NodeJS.WritableStream & { isTTY?: boolean };
}): Progress {
  return stream.isTTY === true ? liveBar(total, stream) : plainLines(total, stream);
}

function liveBar(total: number, stream: NodeJS.WritableStream): Progress {
  const bar = new cliProgress.SingleBar({
    stream,
    format: "{bar} {value}/{total}  {text}",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    hideCursor: true,
  });
  bar.start(total, 0, { text: "" });
  return {
    update: (state) => bar.update(state.step, { text: describe(state) }),
    stop: () => bar.stop(),
  };
}

function plainLines(total: number, stream: NodeJS.WritableStream): Progress {
  let printed = -1;
  return {
    update(state) {
      const part = Math.floor((state.step / total) * LINES);
      if (part <= printed) return;
      printed = part;
      stream.write(`step ${state.step}/${total}  ${describe(state)}\n`);
    },
    stop() {},
  };
}

function describe({ epoch, loss, accuracy, examplesPerSecond, secondsLeft }: ProgressState): string {
  const parts = [`epoch ${epoch}`];
  if (loss !== null) parts.push(`loss ${loss.toFixed(4)}`);
  if (accuracy !== null) parts.push(`accuracy ${(accuracy * 100).toFixed(1)} %`);
  parts.push(`${examplesPerSecond.toFixed(examplesPerSecond < 10 ? 1 : 0)} examples/s`);
  if (Number.isFinite(secondsLeft)) parts.push(`${showDuration(secondsLeft)} left`);
  return parts.join("  ");
}
