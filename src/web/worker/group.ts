/** What is trained at the same time: a run, and others of its comparison. */
import type { OwnArguments } from "../../train/group.ts";
import type { TrainResult } from "../../train/records.ts";
import { train } from "../../train/trainer.ts";
import { isUnderWay, type RunRecord, type Speed } from "../protocol.ts";
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
    run: RunRecord,
    companions: readonly RunRecord[],
    materials: Materials,
    emit: Emit,
  ): Promise<TrainingGroup> {
    const group = new TrainingGroup(materials, emit);
    await group.add(run);
    for (const one of await chosenOf(run, companions, materials)) await group.add(one).catch(() => {});
    return group;
  }

  private async add(run: RunRecord): Promise<void> {
    const report: Emit = (record, speed) => this.emit(record, speed && this.shared(speed));
    this.trainings.push(await Training.prepare(run, this.materials, report, this.abort.signal));
  }

  get runs(): RunRecord[] {
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

  /** Trains all to the end. Errors are reported in the records. */
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
    const { device, model, source } = this.materials;
    const common = { device, model, data: source.data, signal: this.abort.signal };
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
async function chosenOf(run: RunRecord, companions: readonly RunRecord[], materials: Materials): Promise<RunRecord[]> {
  if (companions.length === 0) return [];
  const { atOnce } = await import("../../train/many.ts");
  const { device, model, source } = materials;
  const all = [run, ...companions];
  const some = await atOnce(
    { device, model, data: source.data },
    all.map(({ settings }) => settings.options),
  );
  return some.filter((i) => i > 0).map((i) => all[i]!);
}
