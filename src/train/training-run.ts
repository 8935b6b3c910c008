/**
 * The training loop: steps, learning rate schedule, evaluation at intervals, events. Independent of files and the
 * terminal.
 */
import { type DeviceInfo, isDropped } from "../backend/backend.ts";
import { traits } from "../core/config.ts";
import { ConfigError, TrainingError } from "../core/errors.ts";
import { numel } from "../core/tensor.ts";
import type { TrainingData } from "../data/training-data.ts";
import { modelBatch } from "../engine/batches.ts";
import type { Engine } from "../engine/engine.ts";
import type { Features } from "../engine/features.ts";
import { IN_FLIGHT, InFlight } from "../engine/in-flight.ts";
import { writeTrained } from "../engine/state.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Tensors } from "../io/peft/peft.ts";
import { type Batch, countedRows, drawsFrom } from "../model/batch.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import type { Outputs } from "../tasks/task.ts";
import { bestEvaluation, isAboveChance, sinceBest } from "./best.ts";
import { diagnose, readTensor } from "./diagnosis.ts";
import { Examiner } from "./examiner.ts";
import type { Job, Start } from "./job.ts";
import type { Measured, ReadProbe } from "./measure.ts";
import type { Prepared, StepCounts } from "./prepare.ts";
import { probeSpec, probeTensors } from "./probe.ts";
import {
  type Checkpoint,
  type EvaluationRecord,
  RunFailed,
  type StepRecord,
  type TrainEvent,
  type TrainResult,
} from "./records.ts";
import { scheduleFactor } from "./schedule.ts";
import type { TrainOptions } from "./settings.ts";

type TrainedState = Pick<TrainResult, "tensors" | "finalNorm">;

/** A run on an engine that has its initial parameters. */
export class Run {
  private readonly steps: StepRecord[] = [];
  private readonly evaluations: EvaluationRecord[] = [];
  private readonly started: number;
  /** Seconds and examples of the run before its checkpoint. */
  private secondsBefore = 0;
  private examplesBefore = 0;
  /** Submitted steps whose results have not been read. */
  private readonly inFlight: InFlight<StepRecord>;
  private checkpointBefore: Checkpoint | undefined;
  /** Index of the first step after the last evaluation. */
  private since = 0;
  /** Seconds of pauses, which do not count as step time. */
  private paused = 0;
  /** The trained tensors, set before the initial parameters are restored for evaluation. */
  private trained: TrainedState | undefined;
  /** With `keep: "best"`: the trained tensors of the best evaluation so far. */
  private best: Tensors | undefined;
  /** The head's outputs at the best evaluation so far; undefined if that is from before the checkpoint. */
  private valOutputs: Outputs | undefined;
  /** Whether `onCheckpoint` has thrown, which ends the run. */
  private isEnded = false;
  private readonly model: BaseModel;
  private readonly data: TrainingData;
  private readonly signal: AbortSignal | undefined;
  private readonly options: TrainOptions;
  private readonly stepCounts: StepCounts;
  private readonly examiner: Examiner;

  constructor(
    private readonly engine: Engine,
    private readonly features: Features | undefined,
    job: Job,
    private readonly start: Start,
    private readonly prepared: Prepared,
    private readonly device: DeviceInfo["kind"],
    /** Milliseconds that count for the run. */
    private readonly now: () => number,
    probe?: () => Promise<ReadProbe | null>,
  ) {
    ({ model: this.model, data: this.data } = job);
    this.signal = start.signal;
    ({ options: this.options, stepCounts: this.stepCounts } = prepared);
    this.inFlight = new InFlight(engine.answerTime(), Math.floor(IN_FLIGHT / this.options.accumulate));
    this.started = now();
    const onLeft = (secondsLeft: number) => this.onEvent({ type: "measure", secondsLeft });
    this.examiner = new Examiner(engine, {
      features,
      job,
      signal: start.signal,
      options: this.options,
      probe,
      now,
      onLeft,
    });
  }

  /** Restores the state of a checkpoint. Throws ConfigError if it does not match the model. */
  restore(checkpoint: Checkpoint): void {
    const { step, seconds, steps, evaluations, tensors } = checkpoint;
    this.checkpointBefore = checkpoint;
    const best = this.options.keep === "best" ? bestEvaluation(evaluations) : undefined;
    if (best) this.best = new Map();
    for (const name of this.engine.trainableNames) {
      const [value, m, v] = [name, `m.${name}`, `v.${name}`].map((key) => tensors.get(key)?.data);
      const kept = best && tensors.get(best.step === step ? name : `best.${name}`);
      if (!value || !m || !v || value.length !== numel(this.engine.parameter(name).shape) || (best && !kept))
        throw new ConfigError("wrong-checkpoint", "the checkpoint does not belong to this run", {
          expected: `${name} with its moments${best ? " and its values at the best evaluation" : ""}`,
        });
      this.engine.writeParameter(name, value);
      this.engine.writeMoments(name, { m, v });
      if (kept) this.best!.set(name, kept);
    }
    this.engine.steps = step;
    for (const record of steps) this.steps.push(record);
    this.evaluations.push(...evaluations);
    this.since = evaluations.at(-1)?.step ?? 0;
    this.secondsBefore += seconds;
    this.examplesBefore = steps.at(-1)?.examples ?? 0;
  }

  async train(
    head: Pick<TrainResult, "options" | "spec" | "plan" | "features" | "device" | "trainable" | "flops">,
  ): Promise<TrainResult> {
    const { total, stepsPerEpoch } = this.stepCounts;
    this.onEvent({ type: "start", steps: total, stepsPerEpoch });
    if (this.checkpointBefore) {
      const { tensors: _, ...checkpoint } = this.checkpointBefore;
      this.onEvent({ type: "resume", checkpoint });
    }
    let measured: Measured | null = null;
    let aborted = false;
    try {
      measured = await this.engine.until(this.signal, () => this.work());
    } catch (error) {
      aborted = this.signal?.aborted === true && error === this.signal.reason && !this.isEnded;
      if (!aborted) throw await this.failure(error);
      await this.stop();
    }
    const result: TrainResult = {
      ...head,
      results: measured?.results ?? null,
      predicted: measured?.predicted ?? null,
      answers: measured?.answers ?? null,
      classic: measured?.classic ?? null,
      probe: measured?.probe ? { ...probeTensors(measured.probe), spec: probeSpec(head.spec) } : null,
      steps: this.steps,
      evaluations: this.evaluations,
      keptStep: this.trained ? this.keptStep : this.steps.length,
      ...(this.trained ?? (await this.trainedState())),
      seconds: this.seconds(),
      aborted,
    };
    const { results, keptStep, seconds } = result;
    this.onEvent({ type: "end", results, keptStep, seconds, aborted });
    return result;
  }

  /** Runs all steps and evaluations; null: there is no test set to measure on. */
  private async work(): Promise<Measured | null> {
    const { stepsPerEpoch } = this.stepCounts;
    await this.examiner.begin();
    // At the start, or if the resumed run was stopped during an evaluation.
    if (this.evaluations.length === 0 || this.isDue(this.steps.length)) await this.evaluate();
    const initial = this.evaluations[0]?.val ?? null;
    const first = Math.floor(this.steps.length / stepsPerEpoch);
    for (let epoch = first; epoch < this.options.epochs && !this.isOver; epoch++) await this.epoch(epoch);
    await this.drain();
    if (this.evaluations.at(-1)?.step !== this.steps.length) await this.evaluate();
    // No step follows, so that a checkpoint from here on may have the kept parameters in place of the last ones.
    if (this.keptStep !== this.steps.length) writeTrained(this.engine, this.best!);
    this.trained = await this.trainedState();
    return this.examiner.end(initial, this.kept?.val ?? null, this.valOutputs);
  }

  /** The evaluation whose parameters are saved; undefined without a validation set. */
  private get kept(): EvaluationRecord | undefined {
    return (this.options.keep === "best" && bestEvaluation(this.evaluations)) || this.evaluations.at(-1);
  }

  private get keptStep(): number {
    return this.kept?.step ?? this.steps.length;
  }

  /**
   * Whether no step follows: the last `patience` evaluations were not better than one before them, or it is enough.
   * Patience begins when something has been learned: from heads of zeros, a model may stay at chance for many steps.
   */
  private get isOver(): boolean {
    if (this.start.finish?.aborted) return true;
    const { patience } = this.options;
    if (patience === 0 || sinceBest(this.evaluations) < patience) return false;
    return !this.examiner.beginsEven || isAboveChance(this.evaluations);
  }

  /** Ends an aborted run: steps that the device has finished count, dropped ones are discarded. */
  private async stop(): Promise<void> {
    try {
      await this.drain();
    } catch (error) {
      if (!isDropped(error)) throw await this.failure(error);
      this.inFlight.clear();
    }
    await this.engine.settle();
    this.engine.steps = this.steps.length;
    if (this.steps.length === 0) this.signal!.throwIfAborted();
    if (this.trained) writeTrained(this.engine, this.trained.tensors);
    await this.checkpoint();
  }

  /** The error to throw: a TrainingError becomes a RunFailed with the last good state. */
  private async failure(error: unknown): Promise<unknown> {
    if (!(error instanceof TrainingError)) return error;
    await this.engine.settle();
    return new RunFailed(error, { spec: this.prepared.spec, ...(await this.trainedState()) });
  }

  private seconds(): number {
    return this.secondsBefore + (this.now() - this.started) / 1000 - this.paused;
  }

  private onEvent(event: TrainEvent): void {
    this.start.onEvent?.(event);
  }

  private async checkpoint(): Promise<void> {
    if (!this.start.onCheckpoint) return;
    const tensors: Tensors = new Map();
    for (const name of this.engine.trainableNames) {
      const { shape } = this.engine.parameter(name);
      const { m, v } = await this.engine.readMoments(name);
      tensors.set(name, { shape, data: await this.engine.readParameter(name) });
      tensors.set(`m.${name}`, { shape, data: m });
      tensors.set(`v.${name}`, { shape, data: v });
    }
    const { steps, evaluations, device } = this;
    if (this.best && bestEvaluation(evaluations)!.step !== steps.length)
      for (const [name, tensor] of this.best) tensors.set(`best.${name}`, tensor);
    const checkpoint = { step: steps.length, seconds: this.seconds(), device, steps: [...steps], tensors };
    try {
      await this.start.onCheckpoint({ ...checkpoint, evaluations: [...evaluations] });
    } catch (error) {
      this.isEnded = true;
      throw error;
    }
  }

  private get evaluateEvery(): number {
    return this.options.evalEvery || Math.ceil(this.stepCounts.stepsPerEpoch / 2);
  }

  /** Whether an evaluation other than the final one is due after this step. */
  private isDue(step: number): boolean {
    return step % this.evaluateEvery === 0 && step < this.stepCounts.total && this.evaluations.at(-1)?.step !== step;
  }

  private async epoch(epoch: number): Promise<void> {
    const { accumulate, batchSize, lr, schedule, pooling } = this.options;
    const { stepsPerEpoch, total, warmup } = this.stepCounts;
    const { checkpointEvery = 0, pause } = this.start;
    const keepEvery = checkpointEvery === "evaluation" ? this.evaluateEvery : checkpointEvery;
    let group: Batch[] = [];
    // A resumed run starts within an epoch.
    let step = Math.max(epoch * stepsPerEpoch, this.steps.length);
    for (const packed of this.prepared.loader.epoch(epoch, (step - epoch * stepsPerEpoch) * accumulate)) {
      const features = this.features?.select(this.data.train, packed.positions);
      const batch = modelBatch(packed, pooling, features, this.prepared.classWeights);
      const drawn = (step * accumulate + group.length) * batchSize;
      group.push({ ...batch, draws: drawsFrom(drawn + 1, batch.starts.length - 1) });
      if (group.length < accumulate) continue;
      const pausing = pause?.();
      if (pausing) await this.pauseFor(pausing);
      this.signal?.throwIfAborted();
      if (this.start.finish?.aborted) return;
      this.submit(step, group, lr * scheduleFactor(schedule, step, total, warmup));
      step++;
      group = [];
      while (this.inFlight.isFull) await this.drainOne();
      if (this.isDue(step)) {
        await this.drain();
        await this.evaluate();
        if (this.isOver) return;
      }
      if (keepEvery > 0 && step % keepEvery === 0 && step < total) {
        await this.drain();
        await this.checkpoint();
      }
      if (step === (epoch + 1) * stepsPerEpoch) return;
    }
  }

  /** Emits a checkpoint and waits. */
  private async pauseFor(pausing: Promise<void>): Promise<void> {
    await this.drain();
    await this.checkpoint();
    const start = this.now();
    await pausing;
    this.paused += (this.now() - start) / 1000;
  }

  private submit(index: number, batches: Batch[], lr: number): void {
    const slots = this.engine.step(batches, lr);
    const examples = (index + 1) * this.options.batchSize * batches.length;
    const arrived = Promise.all(slots.map((slot) => this.engine.result(slot)));
    const record = arrived.then((results): StepRecord => {
      const last = results.at(-1)!;
      const rows = batches.reduce((sum, batch) => sum + countedRows(batch), 0);
      const correct = results.reduce((sum, result) => sum + result.correct, 0);
      return {
        step: index + 1,
        epoch: (index + 1) / this.stepCounts.stepsPerEpoch,
        examples,
        lr,
        loss: results.reduce((sum, { loss }) => sum + loss, 0),
        accuracy: index === 0 && this.examiner.beginsEven ? 1 / this.data.labels.length : correct / rows,
        // The device stops updating automatically; NaN reports it to the host.
        norm: last.finite ? last.norm : Number.NaN,
      };
    });
    this.inFlight.add(record);
  }

  private async drain(): Promise<void> {
    while (this.inFlight.length > 0) await this.drainOne();
  }

  /** Waits for the oldest step in flight. */
  private async drainOne(): Promise<void> {
    const record = await this.inFlight.next();
    if (!Number.isFinite(record.loss) || !Number.isFinite(record.norm))
      throw await diagnose(this.engine, this.model, record, this.stepCounts.total);
    this.steps.push(record);
    // A page's clock may not have moved.
    const stepping = Math.max(1e-3, (this.now() - this.started) / 1000 - this.examiner.seconds - this.paused);
    const examplesPerSecond = (record.examples - this.examplesBefore) / stepping;
    const { total } = this.stepCounts;
    const ofSteps = (((total - record.step) / record.step) * record.examples) / examplesPerSecond;
    const secondsLeft = ofSteps + this.examiner.secondsLeft;
    const seconds = this.seconds();
    this.onEvent({ type: "step", record, steps: total, seconds, examplesPerSecond, secondsLeft });
  }

  private async trainedState(): Promise<TrainedState> {
    const { engine, model } = this;
    const read = (part: string) => readTensor(engine, model, `ln_f.${part}`);
    // An RMS norm has no bias.
    const hasBias = traits(model.config).biases === "all";
    const finalNorm = hasBias ? { weight: await read("weight"), bias: await read("bias") } : undefined;
    return { tensors: await readTrained(engine), finalNorm };
  }

  private async evaluate(): Promise<void> {
    if (this.data.val.size === 0) return;
    const [val, outputs] = await this.examiner.evaluate(this.data.val);
    this.record(val);
    const record = this.evaluations.at(-1)!;
    if (this.kept === record) this.valOutputs = outputs;
    if (this.options.keep === "best" && bestEvaluation(this.evaluations) === record)
      this.best = await readTrained(this.engine);
  }

  private record(val: Evaluation): void {
    const recent = this.steps.slice(this.since);
    const mean = (of: (record: StepRecord) => number) => recent.reduce((sum, r) => sum + of(r), 0) / recent.length;
    const last = this.steps.at(-1);
    const record: EvaluationRecord = {
      step: last?.step ?? 0,
      epoch: last?.epoch ?? 0,
      examples: last?.examples ?? 0,
      lr: last?.lr ?? 0,
      ...(last
        ? { train: { loss: mean((r) => r.loss), accuracy: mean((r) => r.accuracy), norm: mean((r) => r.norm) } }
        : {}),
      val,
    };
    this.since = this.steps.length;
    this.evaluations.push(record);
    this.onEvent({ type: "evaluation", record });
  }
}

/** The trained tensors as they are on the device now, with a classifier's head. */
async function readTrained(engine: Engine): Promise<Tensors> {
  const tensors: Tensors = new Map();
  for (const { name, shape, grad, origin } of engine.plan.parameters.all.values())
    if (grad || origin === "head") tensors.set(name, { shape, data: await engine.readParameter(name) });
  return tensors;
}
