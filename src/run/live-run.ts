/** A run that is trained, and kept in its directory meanwhile. */
import type { TrainingData } from "../data/texts.ts";
import { LowrankError } from "../errors.ts";
import type { Check } from "../platform/reader.ts";
import type { Checkpoint, RunFailed, StepRecord, TrainEvent, TrainResult } from "../train/records.ts";
import { keepProgress, type RunViews, runContents, type Saving, saveFailedRun, writeRun } from "./directory.ts";
import { advance, type RunRecord } from "./record.ts";

/** Steps over which loss and accuracy are averaged: those of a single batch are too noisy. */
const RECENT = 20;

/** Current loss and speed of a run. */
export interface Speed {
  /** Means over the last steps. */
  loss: number;
  accuracy: number;
  examplesPerSecond: number;
  secondsLeft: number;
}

export interface LiveRunOptions {
  /** Throws if another process has taken over the directory. */
  check?: Check | undefined;
  /** Called after each event, when `record` and `speed` have it. */
  onEvent?: (event: TrainEvent) => void;
  /** Called when a checkpoint could not be saved; the run goes on. Default: the run ends with the error. */
  onUnsaved?: (checkpoint: Checkpoint, error: LowrankError) => void;
}

export class LiveRun {
  /** Whether this object has saved a checkpoint. */
  isResumable = false;
  /** Null before the first step. */
  speed: Speed | null = null;
  private recent: StepRecord[] = [];

  /** `record` is that of a new run, or of one that goes on from a checkpoint in `directory`. */
  constructor(
    readonly directory: string,
    public record: RunRecord,
    private readonly options: LiveRunOptions = {},
  ) {}

  /** What the trainer calls. */
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
    this.options.onEvent?.(event);
  }

  private mean(key: "loss" | "accuracy"): number {
    return this.recent.reduce((sum, record) => sum + record[key], 0) / this.recent.length;
  }

  private async keep(checkpoint: Checkpoint): Promise<void> {
    const { check, onUnsaved } = this.options;
    this.record = { ...this.record, seconds: checkpoint.seconds };
    try {
      await keepProgress(this.directory, this.record, checkpoint, check);
      this.isResumable = true;
    } catch (error) {
      // A failed checkpoint (such as a full disk) does not end a run.
      if (!onUnsaved || !(error instanceof LowrankError)) throw error;
      onUnsaved(checkpoint, error);
    }
  }

  /**
   * Writes what the run leaves, and the files that show it. Files that do not belong to a run are not touched. A run
   * that was aborted keeps its checkpoints.
   */
  async save(
    directory: string,
    result: TrainResult,
    data: TrainingData,
    views: RunViews,
    saving: Saving = {},
  ): Promise<void> {
    const { files, record } = runContents(this.record, result, data, views);
    await writeRun(directory, files, { keepCheckpoints: result.aborted, ...saving });
    this.record = record;
  }

  /** Writes the last good parameters of a run that has failed, with the error. */
  async saveFailed(directory: string, error: RunFailed, saving: Saving = {}): Promise<void> {
    this.record = await saveFailedRun(directory, this.record, error, saving);
  }
}
