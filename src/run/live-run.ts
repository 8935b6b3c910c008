/** A run that is trained, and kept in its directory meanwhile, if it has one. */

import { LowrankError } from "../core/errors.ts";
import type { TrainingData } from "../data/training-data.ts";
import { writeFolder } from "../io/marker.ts";
import { advance, type RunRecord } from "../record/record.ts";
import type { Checkpoint, RunFailed, Speed, StepRecord, TrainEvent, TrainResult } from "../train/records.ts";
import { keepCheckpoint } from "./checkpoint.ts";
import { beginRun, endRun, failedContents, RUN, removeRun, runContents, writeRecord } from "./directory.ts";

/** Steps over which loss and accuracy are averaged: those of a single batch are too noisy. */
const RECENT = 20;

interface LiveRunOptions {
  /** Called after each event, when `record` and `speed` have it. */
  onEvent?: (event: TrainEvent) => void;
  /** Called when a checkpoint could not be saved; the run continues. Default: the run ends with the error. */
  onUnsaved?: (checkpoint: Checkpoint, error: LowrankError) => void;
}

export class LiveRun {
  /** Whether this object has saved a checkpoint. */
  isResumable = false;
  /** Null before the first step. */
  speed: Speed | null = null;
  private recent: StepRecord[] = [];
  private hasBegun = false;

  /**
   * `record` is that of a new run, or of one that resumes from a checkpoint in `directory`. Without a directory nothing
   * is written.
   */
  constructor(
    readonly directory: string | undefined,
    public record: RunRecord,
    private readonly options: LiveRunOptions = {},
  ) {}

  /** For the trainer. */
  get callbacks() {
    return {
      onEvent: (event: TrainEvent) => this.take(event),
      onCheckpoint: (checkpoint: Checkpoint) => this.keep(checkpoint),
    };
  }

  private take(event: TrainEvent): void {
    this.record = advance(this.record, event);
    // It may have begun anew, on another device.
    if (event.type === "start") this.recent = [];
    if (event.type === "step") {
      this.recent = [...this.recent, event.record].slice(-RECENT);
      const { examplesPerSecond, secondsLeft } = event;
      this.speed = { loss: this.mean("loss"), accuracy: this.mean("accuracy"), examplesPerSecond, secondsLeft };
    }
    if (event.type === "measure" && this.speed) this.speed = { ...this.speed, secondsLeft: event.secondsLeft };
    this.options.onEvent?.(event);
  }

  private mean(key: "loss" | "accuracy"): number {
    return this.recent.reduce((sum, record) => sum + record[key], 0) / this.recent.length;
  }

  private async keep(checkpoint: Checkpoint): Promise<void> {
    const { onUnsaved } = this.options;
    this.record = { ...this.record, seconds: checkpoint.seconds };
    if (this.directory === undefined) return;
    try {
      await writeRecord(this.directory, this.record);
      await keepCheckpoint(this.directory, checkpoint);
      this.isResumable = true;
    } catch (error) {
      // A failed checkpoint (such as a full disk) does not end a run.
      if (!onUnsaved || !(error instanceof LowrankError)) throw error;
      onUnsaved(checkpoint, error);
    }
  }

  /** Makes its directory. Throws ConfigError if another process has begun a run there. */
  async begin(): Promise<void> {
    if (this.directory === undefined) return;
    await beginRun(this.directory, this.record);
    this.hasBegun = true;
  }

  /** Removes the directory that `begin` has made if there is no checkpoint to resume from. */
  async leave(): Promise<void> {
    if (this.directory !== undefined && this.hasBegun && !this.isResumable) await removeRun(this.directory);
  }

  /**
   * Writes what the run leaves into its directory, and the files that show it. A run that was aborted keeps its
   * checkpoints.
   */
  async end(result: TrainResult, data: TrainingData): Promise<void> {
    // Views of a run in memory are made when it is saved.
    const shown = this.directory === undefined ? null : data;
    await this.close(await runContents(this.record, result, shown), result.aborted);
  }

  /** Writes the last good parameters of a run that has failed, with the error. */
  async endFailed(error: RunFailed): Promise<void> {
    await this.close(await failedContents(this.record, error), false);
  }

  /** Writes a run that has ended into another directory, a new one; with `replace`, in place of the run there. */
  async save(directory: string, result: TrainResult, data: TrainingData, replace: boolean): Promise<void> {
    const { files, record } = await runContents(this.record, result, data);
    await writeFolder(directory, files, RUN, replace);
    this.record = record;
  }

  private async close(contents: Parameters<typeof endRun>[1], keepCheckpoints: boolean): Promise<void> {
    if (this.directory !== undefined) await endRun(this.directory, contents, keepCheckpoints);
    this.record = contents.record;
  }
}
