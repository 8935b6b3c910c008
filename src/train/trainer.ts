/** Trains on a device, and elsewhere if that fails. */
import { type DeviceInfo, expectDtype } from "../backend/backend.ts";
import { checkOptions } from "../checks.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { Engine } from "../engine/engine.ts";
import { type FeatureStore, Features } from "../engine/features.ts";
import { leave } from "../engine/leave.ts";
import { isShared, loadBase } from "../engine/state.ts";
import { METHODS } from "../methods/index.ts";
import { ARGUMENTS, OPTIONS, type TrainArguments } from "./arguments.ts";
import { type ChosenDevice, prepareOnDevice } from "./device.ts";
import { peakMemory, planEvent } from "./plan-event.ts";
import { completeOptions, type PreparedRun, prepareRun, type RunArguments } from "./prepare.ts";
import { hasProbe, probeSpec, readProbe, trainProbe } from "./probe.ts";
import type { Checkpoint, TrainResult } from "./records.ts";
import { checkFits, isTooLarge, withAdvice } from "./sizes.ts";
import { writeInitial } from "./start.ts";
import { Run } from "./training-run.ts";

/** The parts that runs which are trained at the same time share. */
interface SharedDevice {
  /** The base model's frozen tensors on the same device, which the run uses. */
  shared?: Engine | undefined;
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
 * Throws ConfigError or DataError before anything is allocated, DeviceError if the plan does not fit or a named device
 * fails (an automatic one is left, and the run ends on the CPU), RunFailed (a TrainingError with the last good tensors)
 * if loss or gradients are not finite.
 */
export async function train(args: TrainArguments, place: SharedDevice = {}): Promise<TrainResult> {
  checkOptions("args", args, { ...ARGUMENTS, ...OPTIONS });
  const { run, signal, resume } = divideArguments(args);
  const chosen = await prepareOnDevice(run, { signal, began: resume?.device });
  return survive(
    chosen,
    args,
    (watched) => trainOnDevice(watched, chosen, place),
    (again) => train(again, place),
  );
}

/**
 * Trains on a device, and again from the last checkpoint, or as it began, if that fails: in the next smaller size, if
 * the device has too little memory and the settings leave one open, or on the CPU, if that can replace it.
 */
async function survive(
  { device, prepared }: Pick<ChosenDevice, "device" | "prepared">,
  args: TrainArguments,
  trainHere: (args: TrainArguments) => Promise<TrainResult>,
  trainAgain: (args: TrainArguments) => Promise<TrainResult>,
): Promise<TrainResult> {
  const { onCheckpoint } = args;
  const last: Pick<TrainArguments, "resume"> = {};
  const keepLast = async (checkpoint: Checkpoint) => {
    await onCheckpoint?.(checkpoint);
    last.resume = checkpoint;
  };
  try {
    return await trainHere({ ...args, ...(onCheckpoint && { onCheckpoint: keepLast }) });
  } catch (error) {
    if (!(isTooLarge(error) && takesLess({ ...divideArguments(args).run, device }, prepared))) {
      if (device !== args.device) throw error;
      await leave(device, error);
    }
    return trainAgain({ ...args, ...last });
  }
}

/** The inputs of a run's preparation, apart from how it starts and to whom it reports. */
function divideArguments(args: TrainArguments) {
  const { signal, finish, onEvent, resume, checkpointEvery, onCheckpoint, pause, ...run } = args;
  return { run, signal, onEvent, resume };
}

const takesLess = (run: RunArguments, before: PreparedRun) => peakMemory(prepareRun(run)) < peakMemory(before);

async function trainOnDevice(args: TrainArguments, chosen: ChosenDevice, place: SharedDevice): Promise<TrainResult> {
  const { run, signal, onEvent, resume } = divideArguments(args);
  const { shared, store, now = () => performance.now() } = place;
  const { device, info, prepared } = { ...chosen, ...(place.info && { info: place.info }) };
  const { model } = args;
  const [planning, given] = [{ ...run, device }, completeOptions(run)];
  expectDtype(device, prepared.spec.dtype ?? "f32");
  // With shared tensors the device checks the rest.
  if (!shared) checkFits(planning, prepared, given);
  const { options, spec, capacity, optimizer, dropout, valueLoss, plan, trainable, flops } = prepared;
  onEvent?.(planEvent(prepared, info));
  if (METHODS[options.mode].isFitted) return trainProbe(device, args, prepared, info, { now, store });
  const size = { spec, capacity, optimizer, dropout, valueLoss, recompute: plan.recomputed > 0 };
  const part = prepared.features ? { part: "upper" as const } : {};
  const engine = await Engine.create(device, { ...size, ...part }, shared).catch((error) => {
    // A graphics card does not report its memory until it runs out.
    throw withAdvice(error, planning, given);
  });
  let features: Features | undefined;
  try {
    if (prepared.features) features = await Features.of(device, model, prepared, { signal, store });
    await loadBase(engine, model, { signal, wanted: (parameter) => !isShared(parameter, shared) });
    await writeInitial(engine, args, options);
    const reading = { spec: probeSpec(spec), capacity, signal, shared: engine, store };
    const compared = () => readProbe(device, model, args.data as LoadedDataset, reading);
    const training = new Run(engine, features, args, prepared, info.kind, now, hasProbe(spec) ? compared : undefined);
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
