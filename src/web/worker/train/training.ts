/** One run in the worker, from its start or its last checkpoint to its end. TrainingGroup trains it. */

import { joinPath, remove } from "#platform";
import { FormatError } from "../../../core/errors.ts";
import type { Adapter, AdapterMeta, Tensors } from "../../../io/peft/peft.ts";
import { forgetFile, registeredPaths, registerFile } from "../../../platform/files.ts";
import { advance, failed, newRecord, planned } from "../../../record/record.ts";
import { measureChanges, startTensors } from "../../../run/changes.ts";
import { trainedTensors } from "../../../run/checkpoint.ts";
import { buildAdapter, runContents } from "../../../run/directory.ts";
import { LiveRun } from "../../../run/live-run.ts";
import { pickSettings } from "../../../run/settings.ts";
import type { Job, Start } from "../../../train/job.ts";
import { ofMode } from "../../../train/options.ts";
import { type Prepared, prepareRun } from "../../../train/prepare.ts";
import type { Speed } from "../../../train/records.ts";
import { type Checkpoint, RunFailed, type TrainEvent, type TrainResult } from "../../../train/records.ts";
import type { TrainingJob } from "../../../train/scheduler.ts";
import type { TrainOptions } from "../../../train/settings.ts";
import { isUnderWay, type PageRun, type PageSettings } from "../../protocol.ts";
import { isFull, KEPT_IN_MEMORY, reportError, reportOfRun } from "../errors.ts";
import { keepCheckpointOf, keepRun, newestCheckpoint, newId, runFolder } from "../files/store.ts";
import { watchedMessages } from "../watch.ts";

const LOST = "the run continues, but a reload would lose the progress since the last checkpoint.";

const IN_MEMORY = "what it has learned is lost when this page is closed: download it, or delete others and resume it";

/** Milliseconds between two reports of a run's steps. */
const EMIT_EVERY = 200;

export type Emit = (run: PageRun, speed: Speed | null) => void;

/** The opened device, model and data of a run, and the adapter that it starts from, in place of a new one. */
export type OpenedRun = Pick<Job, "device" | "model" | "data" | "adapter">;

/** A new run. Throws the errors of `prepareRun`. */
export async function newRun(settings: PageSettings, materials: OpenedRun, options: TrainOptions): Promise<PageRun> {
  const prepared = prepareRun({ ...materials, ...options });
  const record = await newRecord(materials, pickSettings(settings), prepared.options);
  return {
    id: newId(),
    record: planned(record, prepared, materials.device.info),
    state: "training",
    model: settings.model,
    device: settings.device,
    note: null,
    usable: false,
    error: null,
  };
}

/** The state of a run that is ended before its last step. */
export type Ending = "paused" | "stopped" | "interrupted";

export class Training implements TrainingJob {
  private ending: Ending = "stopped";
  private emittedAt = 0;
  /** The visitor's note until the run ends, unless there is something more urgent. */
  private note: string | null = null;
  /** Whether the visitor has deleted it before its turn has come. */
  isDeleted = false;
  /** The trained tensors of the last checkpoint, for classification during the run. */
  latest: Tensors | undefined;
  private readonly folder: string;
  readonly job: Job;
  private readonly prepared: Prepared;
  private readonly live: LiveRun;

  /** `signal` ends it; after `enough` no step follows. Throws the errors of `prepareRun`. */
  constructor(
    readonly run: PageRun,
    private readonly materials: OpenedRun,
    private readonly emit: Emit,
    private readonly signal: AbortSignal,
    private readonly enough: AbortSignal,
  ) {
    this.folder = runFolder(run.id);
    const { options } = run.record;
    this.job = { ...materials, ...ofMode(options, options.mode) };
    this.prepared = prepareRun(this.job);
    this.live = new LiveRun(this.folder, run.record, { onEvent: (event) => this.onTrainEvent(event) });
  }

  /** Messages on which the visitor watches it learn. */
  get watched() {
    return watchedMessages(this.materials.data);
  }

  get meta(): AdapterMeta {
    return this.adapter({ tensors: new Map() }).meta;
  }

  private adapter(learned: Pick<TrainResult, "tensors" | "counts">): Adapter {
    return buildAdapter(this.live.record, this.prepared.spec, learned);
  }

  /** Says how the run ends that the signal is about to end. */
  stop(state: Ending): void {
    this.ending = state;
    this.endEarly();
  }

  /** Says that no step follows. */
  endEarly(): void {
    if (this.run.state !== "training") return;
    this.run.state = "stopping";
    this.emitNow();
  }

  /** From its last checkpoint. Errors are reported in the run. */
  async begin(): Promise<Start | null> {
    const { run } = this;
    if (this.isDeleted) return null;
    // One that is ended before its turn has nothing to measure.
    if (this.enough.aborted && !isUnderWay(run)) {
      await this.finishAs("stopped");
      this.emitNow();
      return null;
    }
    try {
      for (const path of registeredPaths(this.folder)) forgetFile(path);
      const resume = await this.restore();
      run.state = this.enough.aborted ? "stopping" : "training";
      run.error = null;
      run.record = this.live.record;
      await keepRun(run).catch((error) => {
        if (!isFull(error)) throw error;
        this.note = KEPT_IN_MEMORY;
      });
      run.note = this.note;
      this.emitNow();
      return {
        finish: this.enough,
        onEvent: this.live.callbacks.onEvent,
        checkpointEvery: "evaluation",
        onCheckpoint: (checkpoint) => this.keep(checkpoint),
        ...(resume ? { resume } : {}),
      };
    } catch (error) {
      await this.end(Promise.reject(error));
      return null;
    }
  }

  /** Saves what its training leaves. Errors are reported in the run. */
  async end(trained: Promise<TrainResult>): Promise<void> {
    try {
      await this.finish(await trained);
    } catch (error) {
      // Stopped before the first step: there is nothing to save, and the run can start again.
      if (error === this.signal.reason) await this.finishAs(this.ending);
      else await this.fail(error);
    }
    this.live.speed = null;
    this.emitNow();
  }

  private async restore(): Promise<Checkpoint | undefined> {
    const { run, live, prepared, materials } = this;
    const checkpoint = await this.lastCheckpoint();
    // A device that the visitor has chosen takes precedence over the checkpoint's.
    if (run.device !== "auto") delete checkpoint?.device;
    const record = planned(run.record, prepared, materials.device.info);
    live.record = checkpoint ? advance(record, { type: "resume", checkpoint }) : record;
    return checkpoint;
  }

  /**
   * Without a checkpoint, or if none is valid, the run starts from the beginning. A browser that cannot read them now
   * fails the run: it can be resumed from them later.
   */
  private async lastCheckpoint(): Promise<Checkpoint | undefined> {
    return newestCheckpoint(this.run.id).catch((error) => {
      if (!(error instanceof FormatError)) throw error;
      // A single invalid one is from a page that was closed while writing the first.
      if (this.run.usable) this.note = "The checkpoints were damaged: the run started again from the beginning.";
      this.run.note = this.note;
      return undefined;
    });
  }

  private onTrainEvent({ type }: TrainEvent): void {
    // The record is that before the first step, until its checkpoint is restored; results are reported when they are
    // saved.
    if (type === "plan" || type === "start" || type === "end") return;
    // The first step is reported at once.
    const isFirst = this.live.record.step <= 1;
    const isOften = (type === "step" && !isFirst) || type === "measure";
    if (isOften && performance.now() - this.emittedAt < EMIT_EVERY) return;
    this.emitNow();
  }

  private emitNow(): void {
    this.emittedAt = performance.now();
    this.run.record = this.live.record;
    this.emit(this.run, this.live.speed);
  }

  private async keep(checkpoint: Checkpoint): Promise<void> {
    const { run } = this;
    this.latest = trainedTensors(checkpoint);
    run.usable = true;
    run.checkpoint = checkpoint.step;
    run.note = this.note;
    try {
      await keepCheckpointOf(run, checkpoint, () => this.live.callbacks.onCheckpoint(checkpoint));
    } catch (error) {
      // A checkpoint that cannot be stored does not end the run.
      run.note = isFull(error) ? KEPT_IN_MEMORY : `${reportError(error).summary}: ${LOST}`;
    }
    this.emitNow();
  }

  private async finish(result: TrainResult): Promise<void> {
    const { run, live } = this;
    const { model, data, adapter: first } = this.materials;
    run.note = null;
    try {
      // Its directory is not there yet if there was no room for its record.
      await keepRun(run);
      await live.end(result, data);
    } catch (error) {
      if (!isFull(error)) throw error;
      const { files, record } = await runContents(live.record, result, null);
      live.record = record;
      for (const [name, content] of files) registerFile(joinPath(this.folder, name), new Blob([content as BlobPart]));
      run.error = { ...reportError(error), hint: IN_MEMORY };
    }
    // A short run has had no checkpoint.
    run.usable = true;
    const start = first?.tensors ?? (await startTensors(this.meta, live.record.options, model));
    run.changes = await measureChanges(this.adapter(result), model, start);
    await this.finishAs(result.aborted ? this.ending : "finished");
    if (!result.aborted && !run.error) await remove(joinPath(this.folder, "data"));
  }

  private async fail(error: unknown): Promise<void> {
    const { run, live } = this;
    run.error = reportOfRun(error, this.job);
    if (error instanceof RunFailed)
      await live
        .endFailed(error)
        .then(() => {
          run.usable = true;
        })
        .catch((reason) => {
          run.note = reportError(reason).summary;
        });
    else live.record = failed(live.record, error);
    await this.finishAs("failed");
  }

  /** If the browser cannot store how it ended, the next visit finds the run interrupted. */
  private async finishAs(state: PageRun["state"]): Promise<void> {
    const { run } = this;
    this.latest = undefined;
    Object.assign(run, { state, record: this.live.record });
    await keepRun(run).catch((error) => {
      run.note = reportError(error).summary;
    });
  }
}
