/** Trains a linear probe on a device: it reads all texts once, and a regression on what it read is the head. */
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { logitsOf } from "../classic/answers.ts";
import { printClassic } from "../classic/file.ts";
import { type FittedProbe, fitProbe } from "../classic/fit.ts";
import { setTexts } from "../classic/tfidf.ts";
import { isEncoder } from "../core/config.ts";
import { DataError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { Dataset } from "../data/dataset.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { Engine, EngineOptions } from "../engine/engine.ts";
import { FeatureStore, Features } from "../engine/features.ts";
import type { BaseModel } from "../io/hf.ts";
import { LIMITS } from "../io/limits.ts";
import type { Tensors } from "../io/peft/peft.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { isOfMessages } from "../tasks/index.ts";
import { fitBaselines } from "./baselines.ts";
import type { Job, Start } from "./job.ts";
import { measureLogits, oneClass, someOfTrain } from "./linear.ts";
import type { ReadProbe } from "./measure.ts";
import type { Prepared } from "./prepare.ts";
import type { TrainResult } from "./records.ts";

/** The features that probes have read: those of a text take about a kilobyte. */
const KNOWN = new FeatureStore(64 << 20);

interface Reading extends Pick<EngineOptions, "spec" | "capacity"> {
  /** Has tensors of the model on the device. */
  shared?: Engine;
  store?: FeatureStore | undefined;
  signal?: AbortSignal | undefined;
  /** Receives how many of how many rows were read. */
  onRows?: (done: number, rows: number) => void;
}

/** Fits a probe to a data set; null: all training rows have the same class. */
export async function readProbe(
  device: Backend,
  model: BaseModel,
  data: LoadedDataset,
  { signal, onRows, shared, store = KNOWN, ...size }: Reading,
): Promise<ReadProbe | null> {
  const { train, val, test } = data;
  const features = await Features.of(device, model, size, { signal, shared, store });
  try {
    const rows = train.size + val.size + test.size;
    let done = 0;
    const count = (some: number) => {
      done += some;
      onRows?.(done, rows);
    };
    for (const set of [train, val, test]) await features.compute(set, { signal, onRows: count });
    const probe = await fitProbe({ ...data, features: features.of }, { signal });
    if (probe === null) return null;
    const logits = async (set: Dataset) => addHead(probe, set, features, await countLogits(probe, set));
    return {
      probe,
      logits: { train: await logits(someOfTrain(data)), val: await logits(val), test: await logits(test) },
    };
  } finally {
    features.destroy();
  }
}

const countLogits = ({ counts }: FittedProbe, set: Dataset) =>
  logitsOf(counts, [...setTexts(set, set.positions())], counts.labels);

/** Adds what the head makes of the features of a set to logits [rows, labels]. */
function addHead(
  { head: { weight, bias } }: FittedProbe,
  set: Dataset,
  features: Features,
  logits: Float32Array,
): Float32Array {
  const k = bias.length;
  const C = weight.length / k;
  for (let row = 0; row < set.size; row++) {
    const vector = features.of(set, row);
    for (let label = 0; label < k; label++) {
      let sum = bias[label]!;
      for (let c = 0; c < C; c++) sum += weight[label * C + c]! * vector[c]!;
      logits[row * k + label]! += sum;
    }
  }
  return logits;
}

/**
 * The head of a probe and its word counts, as an adapter has them. Throws DataError if they are too large to be read
 * again.
 */
export function probeTensors({ head, counts }: FittedProbe): { tensors: Tensors; counts: Uint8Array } {
  const printed = printClassic(counts);
  if (printed === null)
    throw new DataError("exceeds-limit", "the model is too large to be saved", {
      expected: `at most ${LIMITS.classic} bytes of word counts`,
      hint: `train on fewer rows: ${setting("trainRows")}`,
    });
  const k = head.bias.length;
  const tensors: Tensors = new Map([
    ["head.weight", { shape: [k, head.weight.length / k], data: head.weight }],
    ["head.bias", { shape: [k], data: head.bias }],
  ]);
  return { tensors, counts: printed };
}

/** A model with a probe in place of what a run trains. */
export const probeSpec = ({ config, task, dtype }: ModelSpec): ModelSpec => ({
  config,
  mode: "probe",
  lora: null,
  train_head: true,
  task: { ...task, head_bias: true },
  ...(dtype && { dtype }),
});

/** Whether a run is compared with a probe on its base model, which has to be made for reading. */
export const hasProbe = ({ config, task }: ModelSpec): boolean => isEncoder(config) && isOfMessages(task.objective);

/** Throws DataError if all training rows have one class, and the reason of a signal that has ended. */
export async function trainProbe(
  device: Backend,
  { model, data }: Job,
  { signal, onEvent }: Start,
  prepared: Prepared,
  info: DeviceInfo,
  { now, store }: { now: () => number; store?: FeatureStore | undefined },
): Promise<TrainResult> {
  const started = now();
  const { options, spec, capacity, plan, features, trainable, flops } = prepared;
  const labelled = data as LoadedDataset;
  const { total: steps, stepsPerEpoch } = prepared.stepCounts;
  onEvent?.({ type: "start", steps, stepsPerEpoch });
  const onRows = (done: number, rows: number) => {
    const seconds = (now() - started) / 1000;
    onEvent?.({ type: "features", done, rows, secondsLeft: (seconds * (rows - done)) / done });
  };
  const read = await readProbe(device, model, labelled, { spec, capacity, signal, onRows, store });
  if (read === null) throw oneClass(labelled);
  const { baselines, classic } = await fitBaselines(labelled, signal);
  const { evaluations: measuredAt, ...measured } = measureLogits(labelled, options, read.logits, baselines);
  const evaluations = measuredAt.map((evaluation) => ({ ...evaluation, step: steps }));
  for (const record of evaluations) onEvent?.({ type: "evaluation", record });
  const seconds = (now() - started) / 1000;
  const { limits } = read.probe.counts;
  if (limits && measured.results) measured.results.test.compared[0].limits = limits;
  const result = { results: measured.results, keptStep: steps, seconds, aborted: false };
  onEvent?.({ type: "end", ...result });
  return {
    options,
    spec,
    plan,
    features,
    device: info,
    trainable,
    flops,
    steps: [],
    finalNorm: undefined,
    ...measured,
    ...result,
    ...probeTensors(read.probe),
    evaluations,
    classic,
    probe: null,
  };
}
