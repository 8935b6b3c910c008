/** One run in the worker, from its start or its last checkpoint to its end. It is reported and stored as a RunRecord. TrainingGroup trains it. */
import { joinPath, remove } from "#platform";
import { type Backend, type DeviceInfo, describeDevice } from "../../backend/backend.ts";
import { MODE_TITLES } from "../../config.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import type { Prediction } from "../../engine/predictions.ts";
import { ConfigError, FormatError } from "../../errors.ts";
import type { GPT2Checkpoint } from "../../io/hf.ts";
import type { NoveltySettings } from "../../io/novelty.ts";
import type { Adapter, AdapterMeta, Tensors } from "../../io/peft.ts";
import { parameterList } from "../../model/trainable.ts";
import { memoryTotals } from "../../plan/memory.ts";
import { changesOf } from "../../run/changes.ts";
import { generations, keepCheckpoint, lastCheckpoint } from "../../run/checkpoint.ts";
import {
  bestBaseline,
  type Compared,
  comparison,
  fewRows,
  nothingLearned,
  testReliability,
} from "../../run/comparison.ts";
import {
  adapterOf,
  type RunConfig,
  runConfig,
  runContents,
  saveFailedRun,
  titleOf,
  writeRun,
} from "../../run/directory.ts";
import { startTensors } from "../../run/scaled.ts";
import { describeKept } from "../../run/summary.ts";
import { sizeOf } from "../../tensor.ts";
import { isUnequal } from "../../train/class-weights.ts";
import { noveltyOf } from "../../train/novelty.ts";
import { DEFAULTS } from "../../train/options.ts";
import { type PreparedRun, prepareRun, type RunArguments } from "../../train/prepare.ts";
import { type Checkpoint, RunFailed, type StepRecord, type TrainEvent, type TrainResult } from "../../train/records.ts";
import type { Job } from "../../train/scheduler.ts";
import type { JobSettings, Start } from "../../train/trainer.ts";
import type { ErrorReport, Mistake, PageSettings, RunRecord, Speed } from "../protocol.ts";
import { curveOf, recentOf } from "./curve.ts";
import { reportOf, reportOfRun } from "./errors.ts";
import { flopsOfStep } from "./pace.ts";
import { dropData, nameOf, type Source } from "./sources.ts";
import { folderOf, keepInMemory, keepRun, newId, resultOf } from "./store.ts";
import { savedBytes, serveFromMemory } from "./unsaved.ts";

/** Milliseconds between two reports of a run's steps. */
const EMIT_EVERY = 200;
/** Maximum number of misclassified messages in a record. */
const MISTAKES = 100;

export type Emit = (run: RunRecord, speed: Speed | null) => void;

/** The opened device, model and data of a run. */
export interface Materials {
  device: Backend;
  model: GPT2Checkpoint;
  source: Source;
  /** The adapter that training starts from, in place of a new one. */
  adapter?: Adapter | undefined;
}

/** The arguments of `prepareRun`: everything that determines the results of a run. */
export function argumentsOf({ device, model, source, adapter }: Materials, { options }: PageSettings): RunArguments {
  return { device, model, data: source.data, ...options, ...(adapter ? { adapter } : {}) };
}

export function valuesOf({ spec }: PreparedRun): number {
  return parameterList(spec).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Bytes on the device. With a frozen prefix: those of the larger of the two plans, and of the prefix's output. */
export function bytesOf({ plan, prefix }: PreparedRun): number {
  const total = memoryTotals(plan.memory).total;
  return prefix ? Math.max(total, memoryTotals(prefix.plan.memory).total) + prefix.bytes : total;
}

/** Initial values of a record. */
const BLANK = {
  objective: "classification",
  device: "",
  trainable: 0,
  values: 0,
  bytes: 0,
  flops: 0,
  step: 0,
  steps: 0,
  epoch: 0,
  examples: 0,
  examplesPerEpoch: 0,
  seconds: 0,
  before: null,
  after: null,
  parts: null,
  partNames: [],
  evaluations: [],
  unequal: false,
  curve: { examples: [], loss: [], accuracy: [] },
  confusions: null,
  mistakes: [],
  peftObstacle: null,
  note: null,
  usable: false,
  error: null,
} satisfies Partial<RunRecord>;

/** The record of a new run. Throws the errors of `prepareRun`. */
export function newRun(settings: PageSettings, materials: Materials): RunRecord {
  const prepared = prepareRun(argumentsOf(materials, settings));
  const { batchSize, accumulate } = prepared.options;
  const { data } = materials.source;
  return {
    ...BLANK,
    objective: data.objective,
    evaluations: [],
    id: newId(),
    title: titleOf(prepared.options),
    state: "training",
    created: Date.now(),
    // What `auto` has chosen: a resumed run keeps it.
    settings: { ...settings, options: { ...settings.options, dtype: prepared.options.dtype } },
    dataName: nameOf(settings.data),
    labels: data.labels,
    partNames: data.objective === "lm" ? [] : data.testParts.map(({ name }) => name),
    unequal: isUnequal(data),
    device: describeDevice(materials.device.info),
    trainable: prepared.trainable,
    values: valuesOf(prepared),
    bytes: bytesOf(prepared),
    flops: flopsOfStep(prepared),
    steps: prepared.stepCounts.total,
    examplesPerEpoch: prepared.stepCounts.stepsPerEpoch * batchSize * accumulate,
  };
}

/** The record of an adapter that was loaded from a file. */
export function loadedRun(id: string, model: string, file: string, { meta, tensors }: Adapter): RunRecord {
  const { mode, lora, labels, task, bottleneck, num_virtual_tokens: virtualTokens } = meta;
  const options = {
    mode,
    ...(lora ? { rank: lora.r, alpha: lora.lora_alpha } : {}),
    ...(bottleneck ? { bottleneck } : {}),
    ...(virtualTokens ? { virtualTokens } : {}),
  };
  return {
    ...BLANK,
    id,
    title: titleOf({ ...DEFAULTS, ...options }),
    state: "loaded",
    objective: task.objective,
    created: Date.now(),
    settings: {
      objective: task.objective,
      data: { kind: "file", name: file },
      model,
      adapter: null,
      device: "auto",
      split: "random",
      balance: true,
      dedupe: false,
      maxLength: 0,
      options,
    },
    dataName: file,
    labels,
    trainable: [...tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    usable: true,
  };
}

export class Training implements Job {
  private steps: StepRecord[] = [];
  private speed: Speed | null = null;
  /** The state of a run that is ended before its last step. */
  private ending: "paused" | "stopped" = "stopped";
  private emittedAt = 0;
  /** What the visitor is told until the run ends, unless there is something more urgent. */
  private note: string | null = null;
  private device: DeviceInfo;
  private readonly novelty: NoveltySettings | null;
  /** The trained tensors of the last checkpoint, for classification during the run. */
  latest: Tensors | undefined;

  private constructor(
    readonly run: RunRecord,
    private readonly materials: Materials,
    private readonly emit: Emit,
    private readonly args: RunArguments,
    private readonly prepared: PreparedRun,
    private readonly config: RunConfig,
    private readonly signal: AbortSignal,
  ) {
    this.device = materials.device.info;
    this.novelty = noveltyOf(materials.source.data);
  }

  /** `signal` ends it. */
  static async prepare(run: RunRecord, materials: Materials, emit: Emit, signal: AbortSignal): Promise<Training> {
    const { model, source } = materials;
    const args = argumentsOf(materials, run.settings);
    const prepared = prepareRun(args);
    const named = { ...source.spec, ...source.options } as Record<string, unknown>;
    const config = await runConfig(model, source.data, prepared.options, named);
    if (run.settings.adapter) config.adapter = run.settings.adapter.id;
    run.base ??= config.base;
    if (run.base !== config.base)
      throw new ConfigError("The model has changed since this run began", {
        where: run.settings.model,
        hint: "choose the folder of the original model again",
      });
    return new Training(run, materials, emit, args, prepared, config, signal);
  }

  get meta(): AdapterMeta {
    return this.adapter(new Map()).meta;
  }

  private adapter(tensors: Tensors): Adapter {
    return adapterOf(this.config, this.prepared.spec, tensors, this.novelty);
  }

  /** Says how the run ends that the signal is about to end. */
  stop(state: "paused" | "stopped"): void {
    this.ending = state;
    if (this.run.state !== "training") return;
    this.run.state = "stopping";
    this.emitNow();
  }

  get settings(): JobSettings {
    const { device: _, model: _m, data: _d, ...settings } = this.args;
    return settings;
  }

  /** From its last checkpoint. Errors are reported in the record. */
  async begin(): Promise<Start | null> {
    const { run } = this;
    try {
      const resume = await this.restore();
      run.state = "training";
      run.error = null;
      await this.store();
      this.emitNow();
      return {
        onEvent: (event) => this.onTrainEvent(event),
        checkpointEvery: "evaluation",
        onCheckpoint: (checkpoint) => this.keep(checkpoint),
        ...(resume ? { resume } : {}),
      };
    } catch (error) {
      await this.end(Promise.reject(error));
      return null;
    }
  }

  /** Saves what its training leaves. Errors are reported in the record. */
  async end(trained: Promise<TrainResult>): Promise<void> {
    try {
      await this.finish(await trained);
    } catch (error) {
      // Stopped before the first step: there is nothing to save, and the run can start again.
      if (error === this.signal.reason) await this.finishAs(this.ending);
      else await this.fail(error);
    }
    this.speed = null;
    this.emitNow();
  }

  private async restore(): Promise<Checkpoint | undefined> {
    const checkpoint = await this.lastCheckpoint();
    // A device that the visitor has chosen takes precedence over the checkpoint's.
    if (this.run.settings.device !== "auto") delete checkpoint?.device;
    this.steps = [...(checkpoint?.steps ?? [])];
    this.run.evaluations = [...(checkpoint?.evaluations ?? [])];
    this.count();
    return checkpoint;
  }

  /**
   * Without a checkpoint, or if none is valid, the run starts from the beginning. A browser that cannot read them now fails the
   * run: it can be resumed from them later.
   */
  private async lastCheckpoint(): Promise<Checkpoint | undefined> {
    const folder = folderOf(this.run.id);
    if ((await generations(folder)).length === 0) return undefined;
    return lastCheckpoint(folder).catch((error) => {
      if (!(error instanceof FormatError)) throw error;
      // An invalid one alone is of a page that was closed while it wrote the first.
      if (this.run.usable) this.note = "The checkpoints were damaged: the run started again from the beginning.";
      this.run.note = this.note;
      return undefined;
    });
  }

  private onTrainEvent(event: TrainEvent): void {
    const { run } = this;
    if (event.type === "plan") {
      this.device = event.device;
      run.device = describeDevice(event.device);
    }
    if (event.type === "evaluation") run.evaluations.push(event.record);
    if (event.type === "step") {
      this.steps.push(event.record);
      const { examplesPerSecond, secondsLeft } = event;
      this.speed = { ...recentOf(this.steps), examplesPerSecond, secondsLeft };
      // The first step is reported at once.
      if (this.steps.length > 1 && performance.now() - this.emittedAt < EMIT_EVERY) return;
    }
    this.emitNow();
  }

  /** Updates the record from the completed steps. */
  private count(): void {
    const { run, steps } = this;
    const last = steps.at(-1);
    run.step = last?.step ?? 0;
    run.epoch = last?.epoch ?? 0;
    run.examples = last?.examples ?? 0;
    run.curve = curveOf(steps);
  }

  private emitNow(): void {
    this.emittedAt = performance.now();
    this.count();
    this.emit(this.run, this.speed);
  }

  private async keep(checkpoint: Checkpoint): Promise<void> {
    const { run } = this;
    this.latest = new Map([...checkpoint.tensors].filter(([name]) => !/^([mv]|best)\./.test(name)));
    run.seconds = checkpoint.seconds;
    run.usable = true;
    this.count();
    try {
      await keepCheckpoint(folderOf(run.id), checkpoint);
      run.note = this.note;
      await keepRun(run);
    } catch (error) {
      // A checkpoint that cannot be stored does not end the run.
      const { summary } = reportOf(error);
      run.note = `${summary}: the run continues, but a reload would lose the progress since the last checkpoint.`;
    }
    this.emitNow();
  }

  private async finish(result: TrainResult): Promise<void> {
    const { run } = this;
    const { data } = this.materials.source;
    run.note = null;
    run.before = result.before;
    run.after = result.after;
    run.parts = result.parts;
    run.seconds = result.seconds;
    if (data.objective === "classification") describeClassifier(run, result, data);
    const { compared = [] } = run;
    const nothing = nothingLearned(result, compared, (name) => name);
    if (nothing) run.warning = warningOf(nothing, result.options.lr);
    if (result.after) run.resultNotes = notesOf(result, compared, nothing !== null);
    const isStored = await this.save(result);
    run.usable = true;
    const { model, adapter: first } = this.materials;
    const start = first?.tensors ?? (await startTensors(this.meta, result.options, model));
    run.changes = await changesOf(this.adapter(result.tensors), model, start);
    await this.finishAs(result.aborted ? this.ending : "finished", isStored);
    if (result.aborted || !isStored) return;
    await remove(joinPath(folderOf(run.id), "checkpoint"));
    await dropData(folderOf(run.id));
  }

  /** Saves the run's files. If the browser cannot store them, they stay in memory. */
  private async save(result: TrainResult): Promise<boolean> {
    const { run, config } = this;
    const { data } = this.materials.source;
    const { reason, files } = runContents(config, result, data);
    run.peftObstacle = reason ?? null;
    run.savedBytes = savedBytes(files);
    try {
      await writeRun(resultOf(run.id), files);
      return true;
    } catch (error) {
      await remove(resultOf(run.id)).catch(() => {});
      // Some of the files can be read only once.
      await serveFromMemory(resultOf(run.id), runContents(config, result, data).files);
      this.noteUnstored(error);
      return false;
    }
  }

  private noteUnstored(error: unknown): void {
    const { summary } = reportOf(error);
    this.run.note = `${summary}: this run is in memory only until the page is closed. Download it, or delete runs or models that you no longer need.`;
  }

  /** Stores the record; one that cannot be stored, or whose files cannot, stays in memory. */
  private async store(hasFiles = true): Promise<void> {
    if (!hasFiles) return keepInMemory(this.run);
    try {
      await keepRun(this.run);
    } catch (error) {
      this.noteUnstored(error);
      keepInMemory(this.run);
    }
  }

  private async fail(error: unknown): Promise<void> {
    const { run } = this;
    run.state = "failed";
    run.error = reportOfRun(error, this.args);
    if (error instanceof RunFailed) {
      const { spec } = this.prepared;
      await saveFailedRun(resultOf(run.id), this.config, spec, error.contents, this.device, error.message)
        .then(() => {
          run.usable = true;
        })
        .catch((reason) => this.noteUnstored(reason));
    }
    await this.finishAs("failed");
  }

  private async finishAs(state: RunRecord["state"], hasFiles = true): Promise<void> {
    this.run.state = state;
    this.latest = undefined;
    this.count();
    await this.store(hasFiles);
  }
}

function warningOf({ text, lr }: { text: string; lr: number }, used: number): ErrorReport {
  return {
    name: "note",
    summary: text,
    hint: `the learning rate ${used} is probably too ${lr < used ? "high" : "low"} for this method`,
    remedy: { set: { lr } },
  };
}

/** The test set's classifications, and the run beside the baselines. */
function describeClassifier(run: RunRecord, result: TrainResult, data: LoadedDataset): void {
  run.confusions = result.after && result.confusions;
  run.mistakes = mistakesOf(result.predictions, data);
  if (!result.after) return;
  run.compared = comparison(result, data);
  run.calibrationError = testReliability(result, data).error;
  run.verdicts = Uint8Array.from(result.predictions, ({ row, label }) => Number(label === data.test.label(row)));
}

function notesOf(result: TrainResult, compared: readonly Compared[], hasWarning: boolean): string[] {
  const few = fewRows(compared);
  // A warning already says that a baseline is better, and what to try.
  const best = hasWarning ? null : bestBaseline(compared, (name) => name);
  const other = result.options.mode === "all" ? MODE_TITLES.lora : MODE_TITLES.all;
  return [
    ...(few ? [few] : []),
    ...(best === null ? [] : [`${best}. Try a larger model, such as gpt2, or more epochs, or ${other}`]),
    ...describeKept(result),
  ];
}

/** Misclassified test messages, most confident first. */
function mistakesOf(predictions: readonly Prediction[], { labels, test }: LoadedDataset): Mistake[] {
  return predictions
    .filter(({ row, label }) => label !== test.label(row))
    .toSorted((a, b) => b.probability - a.probability)
    .slice(0, MISTAKES)
    .map(({ row, label, probability }) => ({
      text: test.text(row),
      truth: labels[test.label(row)]!,
      predicted: labels[label]!,
      probability,
    }));
}
