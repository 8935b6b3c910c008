/** What is trained at the same time: a run, and others of its comparison. */
import type { Speed } from "../../run/live-run.ts";
import { isUnderWay, type PageRun } from "../protocol.ts";
import { type Emit, type Materials, ownOptions, Training } from "./training.ts";

export class TrainingGroup {
  private readonly trainings: Training[] = [];
  private readonly abort = new AbortController();

  private constructor(
    private readonly materials: Materials,
    private readonly emit: Emit,
  ) {}

  /**
   * A run, and the companions that are trained with it. Throws if it cannot begin; a companion that cannot is left out.
   */
  static async prepare(
    run: PageRun,
    companions: readonly PageRun[],
    materials: Materials,
    emit: Emit,
  ): Promise<TrainingGroup> {
    const group = new TrainingGroup(materials, emit);
    group.add(run);
    for (const one of await chooseCompanions(run, companions, materials))
      try {
        group.add(one);
      } catch {}
    return group;
  }

  private add(run: PageRun): void {
    const report: Emit = (one, speed) => this.emit(one, speed && this.shared(speed));
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
    const { device, model, data } = this.materials;
    const common = { device, model, data, signal: this.abort.signal };
    const { trainJobs } = await import("../../train/scheduler.ts");
    await trainJobs(common, this.trainings);
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

/** The companions that are trained at the same time as a run. */
async function chooseCompanions(
  run: PageRun,
  companions: readonly PageRun[],
  materials: Materials,
): Promise<PageRun[]> {
  if (companions.length === 0) return [];
  const { planRounds } = await import("../../train/scheduler.ts");
  const { device, model, data } = materials;
  const jobs = [run, ...companions].map((one) => ({ one, settings: ownOptions(one) }));
  const rounds = await planRounds({ device, model, data }, jobs);
  const { jobs: some, atOnce } = rounds.find((round) => round.jobs.includes(jobs[0]!))!;
  return some.slice(1, atOnce).map(({ one }) => one);
}
