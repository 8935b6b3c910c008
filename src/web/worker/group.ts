/** What is trained at the same time: a run, and others of its comparison. */
import type { Speed } from "../../run/live-run.ts";
import type { OwnArguments } from "../../train/group.ts";
import { ofMode } from "../../train/options.ts";
import type { TrainResult } from "../../train/records.ts";
import { train } from "../../train/trainer.ts";
import { isUnderWay, type PageRun } from "../protocol.ts";
import { type Emit, type Materials, Training } from "./training.ts";

export class TrainingGroup {
  private readonly trainings: Training[] = [];
  private readonly abort = new AbortController();

  private constructor(
    private readonly materials: Materials,
    private readonly emit: Emit,
  ) {}

  /** A run, and the companions that `atOnce` chooses. Throws if it cannot begin; a companion that cannot is left out. */
  static async prepare(
    run: PageRun,
    companions: readonly PageRun[],
    materials: Materials,
    emit: Emit,
  ): Promise<TrainingGroup> {
    const group = new TrainingGroup(materials, emit);
    group.add(run);
    for (const one of await chosenOf(run, companions, materials))
      try {
        group.add(one);
      } catch {}
    return group;
  }

  private add(run: PageRun): void {
    const report: Emit = (run, speed) => this.emit(run, speed && this.shared(speed));
    this.trainings.push(new Training(run, this.materials, report, this.abort.signal));
  }

  get runs(): PageRun[] {
    return this.trainings.map(({ run }) => run);
  }

  of(id: string): Training | undefined {
    return this.trainings.find(({ run }) => run.id === id);
  }

  /** Ends the runs within about a second, each with a checkpoint and an adapter. */
  stop(state: "paused" | "stopped"): void {
    for (const training of this.trainings) training.stop(state);
    this.abort.abort();
  }

  /** Trains all to the end. Errors are reported in the runs. */
  async work(): Promise<void> {
    const begun = await Promise.all(
      this.trainings.map(async (training) => ({ training, run: await training.begin() })),
    );
    const ready = begun.flatMap(({ training, run }) => (run ? [{ training, run }] : []));
    // A run goes on on the kind of device on which it began.
    for (const kind of new Set(ready.map(({ run }) => run.resume?.device))) {
      const some = ready.filter(({ run }) => run.resume?.device === kind);
      const promises = await this.train(some.map(({ run }) => run));
      await Promise.all(some.map(({ training }, i) => training.complete(promises[i]!)));
    }
  }

  private async train(runs: readonly OwnArguments[]): Promise<Promise<TrainResult>[]> {
    const { device, model, data } = this.materials;
    const common = { device, model, data, signal: this.abort.signal };
    if (runs.length === 1) return [train({ ...common, ...runs[0] })];
    const { trainAtOnce } = await import("../../train/many.ts");
    return trainAtOnce(common, runs).catch((error) => runs.map(() => Promise.reject(error)));
  }

  /** The speed of a run as it seems: what it reports is by its share of the time. */
  private shared(speed: Speed): Speed {
    const atOnce = Math.max(1, this.runs.filter(isUnderWay).length);
    return {
      ...speed,
      examplesPerSecond: speed.examplesPerSecond / atOnce,
      secondsLeft: speed.secondsLeft * atOnce,
    };
  }
}

/** The companions that are trained at the same time as a run. */
async function chosenOf(run: PageRun, companions: readonly PageRun[], materials: Materials): Promise<PageRun[]> {
  if (companions.length === 0) return [];
  const { atOnce } = await import("../../train/many.ts");
  const { device, model, data } = materials;
  const all = [run, ...companions];
  const some = await atOnce(
    { device, model, data },
    all.map(({ record: { options } }) => ofMode(options, options.mode)),
  );
  return some.filter((i) => i > 0).map((i) => all[i]!);
}
