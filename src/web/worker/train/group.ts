/** A run, and the others of its comparison. */
import type { Speed } from "../../../train/records.ts";
import { isUnderWay, type PageRun } from "../../protocol.ts";
import { type Emit, type Ending, type OpenedRun, Training } from "./training.ts";

export class TrainingGroup {
  private readonly trainings: Training[] = [];
  private readonly abort = new AbortController();
  private readonly enough = new AbortController();

  /** Throws if the run cannot begin; a companion that cannot is left out. */
  constructor(
    run: PageRun,
    companions: readonly PageRun[],
    private readonly materials: OpenedRun,
    private readonly emit: Emit,
  ) {
    this.add(run);
    // It begins now: a stop before its first step ends it, too, and with it the comparison.
    run.state = "training";
    for (const companion of companions)
      try {
        this.add(companion);
      } catch {}
  }

  private add(run: PageRun): void {
    const report = (companion: PageRun, speed: Speed | null) => this.report(companion, speed);
    this.trainings.push(new Training(run, this.materials, report, this.abort.signal, this.enough.signal));
  }

  private report(run: PageRun, speed: Speed | null): void {
    this.emit(run, speed && this.shared(speed));
    // The others continue on a device that is opened again.
    if (run.error?.name === "DeviceError" && !this.abort.signal.aborted) this.stop("interrupted");
  }

  get runs(): PageRun[] {
    return this.trainings.map(({ run }) => run);
  }

  of(id: string): Training | undefined {
    return this.trainings.find(({ run }) => run.id === id);
  }

  /** Ends the runs that train within about a second, each with a checkpoint and an adapter. */
  stop(state: Ending): void {
    for (const training of this.trainings) training.stop(state);
    this.abort.abort();
  }

  /** Ends training soon: what was learned is measured and saved, as at the end. */
  finish(): void {
    this.enough.abort();
    for (const training of this.trainings) training.endEarly();
  }

  /** Trains all to the end, some at the same time where that is faster. Errors are reported in the runs. */
  async work(): Promise<void> {
    // A page loads what trains when something is trained.
    const { trainJobs } = await import("../../../train/scheduler.ts");
    await trainJobs(this.trainings, { signal: this.abort.signal });
    // Those that were ended before their turn had come.
    for (const training of this.trainings)
      if (training.run.state === "stopping") await training.end(Promise.reject(this.abort.signal.reason));
  }

  /** The speed of a run by elapsed time: it reports its speed by its share of the time. */
  private shared(speed: Speed): Speed {
    const atOnce = Math.max(1, this.runs.filter(isUnderWay).length);
    return {
      ...speed,
      examplesPerSecond: speed.examplesPerSecond / atOnce,
      secondsLeft: speed.secondsLeft * atOnce,
    };
  }
}
