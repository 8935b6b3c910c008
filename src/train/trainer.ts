/** Trains on a device, and elsewhere if that fails. */
import { type DeviceInfo, expectDtype } from "../backend/backend.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { Engine } from "../engine/engine.ts";
import { type FeatureStore, Features } from "../engine/features.ts";
import { leave } from "../engine/leave.ts";
import { isShared, loadBase } from "../engine/state.ts";
import { METHODS } from "../methods/index.ts";
import { prepareOnDevice } from "./device.ts";
import type { Job, Start } from "./job.ts";
import { peakMemory, planEvent } from "./plan-event.ts";
import { completeOptions, type Prepared, prepareRun } from "./prepare.ts";
import { hasProbe, probeSpec, readProbe, trainProbe } from "./probe.ts";
import type { Checkpoint, TrainResult } from "./records.ts";
import { checkFits, isTooLarge, withAdvice } from "./sizes.ts";
import { writeInitial } from "./start.ts";
import { Run } from "./training-run.ts";

/** What a run shares with others that are trained at the same time. */
interface Shared {
  /** The base model's frozen tensors on the same device, which the run uses. */
  engine?: Engine | undefined;
  /** Features that others of the same base model have read, and those that this one reads. */
  store?: FeatureStore | undefined;
  /** The device's description: it may be a part of a device. */
  info?: DeviceInfo;
  /** Milliseconds that count for the run; default: all elapsed time. */
  now?: () => number;
}

/**
 * Fine-tunes a model as a classifier or as a language model, depending on the data. Deterministic: the same device,
 * data and options give the same bits.
 * Trains on a device, and again from the last checkpoint, or as it began, if that fails: in the next smaller size, if
 * the device has too little memory and the settings leave one open, or on the CPU, if that can replace it.
 * Throws ConfigError or DataError before anything is allocated, DeviceError if the plan does not fit or a named device
 * fails (an automatic one is left, and the run ends on the CPU), RunFailed (a TrainingError with the last good tensors)
 * if loss or gradients are not finite.
 */
export async function train(job: Job, start: Start = {}, shared: Shared = {}): Promise<TrainResult> {
  const { signal, resume, onCheckpoint } = start;
  const chosen = await prepareOnDevice(job, { signal, began: resume?.device });
  const { device, prepared } = chosen;
  const last: Pick<Start, "resume"> = {};
  const keepLast = async (checkpoint: Checkpoint) => {
    await onCheckpoint?.(checkpoint);
    last.resume = checkpoint;
  };
  try {
    return await trainOnDevice(job, { ...start, ...(onCheckpoint && { onCheckpoint: keepLast }) }, chosen, shared);
  } catch (error) {
    if (!(isTooLarge(error) && takesLess({ ...job, device }, prepared))) {
      if (device !== job.device) throw error;
      await leave(device, error);
    }
    return train(job, { ...start, ...last }, shared);
  }
}

const takesLess = (job: Job, before: Prepared) => peakMemory(prepareRun(job)) < peakMemory(before);

async function trainOnDevice(
  job: Job,
  start: Start,
  chosen: Awaited<ReturnType<typeof prepareOnDevice>>,
  { engine: base, store, now = () => performance.now(), info = chosen.info }: Shared,
): Promise<TrainResult> {
  const { signal, onEvent, resume } = start;
  const { device, prepared } = chosen;
  const { model } = job;
  const [planning, given] = [{ ...job, device }, completeOptions(job)];
  expectDtype(device, prepared.spec.dtype ?? "f32");
  // With shared tensors the device checks the rest.
  if (!base) checkFits(planning, prepared, given);
  const { options, spec, capacity, optimizer, dropout, valueLoss, plan, trainable, flops } = prepared;
  onEvent?.(planEvent(prepared, info));
  if (METHODS[options.mode].isFitted) return trainProbe(device, job, start, prepared, info, { now, store });
  const size = { spec, capacity, optimizer, dropout, valueLoss, recompute: plan.recomputed > 0 };
  const part = prepared.features ? { part: "upper" as const } : {};
  const engine = await Engine.create(device, { ...size, ...part }, base).catch((error) => {
    // A graphics card does not report its memory until it runs out.
    throw withAdvice(error, planning, given);
  });
  let features: Features | undefined;
  try {
    if (prepared.features) features = await Features.of(device, model, prepared, { signal, store });
    await loadBase(engine, model, { signal, wanted: (parameter) => !isShared(parameter, base) });
    await writeInitial(engine, job, options);
    const reading = { spec: probeSpec(spec), capacity, signal, shared: engine, store };
    const compared = () => readProbe(device, model, job.data as LoadedDataset, reading);
    const probe = hasProbe(spec) ? compared : undefined;
    const training = new Run(engine, features, job, start, prepared, info.kind, now, probe);
    if (resume) training.restore(resume);
    return await training.train({
      options,
      spec,
      plan: engine.plan,
      features: prepared.features,
      device: info,
      trainable,
      flops,
    });
  } finally {
    features?.destroy();
    engine.destroy();
  }
}
