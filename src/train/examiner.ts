/** Runs the sets of a run through its model: features, evaluations, and all that is measured after the last step. */
import type { TrainingData } from "../data/training-data.ts";
import type { Engine } from "../engine/engine.ts";
import { evaluate } from "../engine/evaluate.ts";
import type { Features } from "../engine/features.ts";
import { loadBase } from "../engine/state.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { hasHead, TASKS } from "../tasks/index.ts";
import type { Outputs } from "../tasks/task.ts";
import type { Job } from "./job.ts";
import { type Evaluated, type Measured, makeMeasurer, type ReadProbe } from "./measure.ts";
import type { TrainOptions } from "./settings.ts";
import { writeInitial } from "./start.ts";

type Rows = TrainingData["train"];

const NONE = new Float32Array();

interface Examined {
  features: Features | undefined;
  job: Pick<Job, "model" | "data" | "adapter">;
  signal: AbortSignal | undefined;
  options: TrainOptions;
  /** Reads the probe that the run is compared with. */
  probe: (() => Promise<ReadProbe | null>) | undefined;
  /** Milliseconds that count for the run. */
  now: () => number;
  /** Receives about how many seconds of measuring are left, after each of its batches. */
  onLeft: (seconds: number) => void;
}

export class Examiner {
  /** Seconds of features and evaluations so far. */
  seconds = 0;
  private readonly lower = new Pace();
  private readonly upper = new Pace();
  private isEnding = false;
  private readonly measurer;

  constructor(
    private readonly engine: Engine,
    private readonly examined: Examined,
  ) {
    this.measurer = makeMeasurer(examined.job.data, examined.options);
  }

  /** Computes the features that the steps read. */
  async begin(): Promise<void> {
    const { job, features } = this.examined;
    const { train, val, test } = job.data;
    if (features) this.lower.left = test.size;
    this.upper.left = (test.size + Math.min(train.size, test.size)) * (this.knowsInitial ? 1 : 2);
    await this.compute(train);
    await this.compute(val);
  }

  /** With a head of zeros all classes are as likely at first, and the device would count each row as right. */
  get beginsEven(): boolean {
    const { job, options } = this.examined;
    const { head, loss } = TASKS[job.data.objective];
    const isEven = head === "own" && loss === "cross-entropy";
    return isEven && job.adapter === undefined && options.headInit === "zeros";
  }

  private get knowsInitial(): boolean {
    return this.beginsEven && this.measurer.even !== null;
  }

  /** Seconds until the end after the last step, as far as the rows so far tell. */
  get secondsLeft(): number {
    return this.lower.secondsLeft + this.upper.secondsLeft;
  }

  private async compute(set: Rows): Promise<void> {
    const { features, signal } = this.examined;
    await this.timed(this.lower, async (onRows) => features?.compute(set, { signal, onRows }));
  }

  /** Evaluates the current parameters on a set, or on its first rows. */
  async evaluate(set: Rows, rows?: number): Promise<[Evaluation, Outputs]> {
    const { features, job, signal, options } = this.examined;
    const more = { pooling: options.pooling, features, signal, rows, losses: set === job.data.test };
    return this.timed(this.upper, (onRows) => evaluate(this.engine, set, { ...more, onRows }));
  }

  private async timed<T>(pace: Pace, work: (onRows: (rows: number) => void) => Promise<T>): Promise<T> {
    const { now, onLeft } = this.examined;
    let since = now();
    const spend = () => {
      const seconds = (now() - since) / 1000;
      since = now();
      this.seconds += seconds;
      return seconds;
    };
    const result = await work((rows) => {
      pace.add(rows, spend());
      if (!this.isEnding) return;
      pace.left -= rows;
      onLeft(this.secondsLeft);
    });
    spend();
    return result;
  }

  /**
   * Measures the kept parameters, which are on the device, and the initial ones: on the training and test sets, as the
   * validation set's evaluations and what the kept ones said there are known. Null: there is no test set. All of it
   * comes after the last step, so that training starts at once.
   */
  async end(initial: Evaluation | null, kept: Evaluation | null, outputs?: Outputs): Promise<Measured | null> {
    const { signal, job } = this.examined;
    const { data } = job;
    if (data.test.size === 0) return null;
    this.isEnding = true;
    await this.compute(data.test);
    const after = await this.splits(kept, outputs);
    const before = this.knowsInitial ? this.measurer.even!(initial) : await this.evaluateInitial(initial);
    return this.measurer.measure(before, after, { signal, probe: this.examined.probe });
  }

  private async evaluateInitial(val: Evaluation | null): Promise<Evaluated> {
    const { job, signal, options } = this.examined;
    await loadBase(this.engine, job.model, { wanted: ({ grad }) => grad !== null, signal });
    await writeInitial(this.engine, job, options);
    return this.splits(val, NONE);
  }

  /**
   * Evaluates the training and test sets; `val`: the validation set's evaluation, with its outputs if they are known.
   */
  private async splits(val: Evaluation | null, known?: Outputs): Promise<Evaluated> {
    const { data } = this.examined.job;
    const [train, onTrain] = await this.evaluate(data.train, data.test.size);
    const [test, onTest] = await this.evaluate(data.test);
    const onVal = known ?? (val && hasHead(data) ? (await this.evaluate(data.val))[1] : NONE);
    return { evaluations: { train, val, test }, outputs: { train: onTrain, val: onVal, test: onTest } };
  }
}

/** How long a row takes, and how many are left. */
class Pace {
  left = 0;
  private rows = 0;
  private seconds = 0;

  add(rows: number, seconds: number): void {
    this.rows += rows;
    this.seconds += seconds;
  }

  get secondsLeft(): number {
    return this.rows === 0 ? 0 : (Math.max(0, this.left) * this.seconds) / this.rows;
  }
}
