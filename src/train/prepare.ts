/** Prepares a run before anything is allocated: checks its settings, counts its steps and makes its plans. */

import { ConfigError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import type { DatasetBatch } from "../data/dataset.ts";
import { type Examples, Loader } from "../data/loader.ts";
import type { TokenBatch } from "../data/text/token-set.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { shortName } from "../io/tokenizer/vocabulary.ts";
import { takesSteps } from "../methods/index.ts";
import { roomFor } from "../model/batch.ts";
import { trainableCount } from "../model/trainable.ts";
import { countFlops } from "../plan/work.ts";
import { rowsPerClass, weighClasses } from "./class-weights.ts";
import type { Preparable } from "./job.ts";
import { knownRun, resolveOptions, withAdapter } from "./options.ts";
import { warmupSteps } from "./schedule.ts";
import type { TrainOptions } from "./settings.ts";
import { type Planned, planFitting } from "./sizes.ts";

export interface Prepared extends Planned {
  loader: Loader<DatasetBatch | TokenBatch>;
  stepCounts: StepCounts;
  trainable: number;
  /** Operations in the matrix products of a batch of mean length, forward and backward: a multiply-add is two. */
  flops: number;
  /** The weight of each class in the loss; undefined: 1. */
  classWeights: Float32Array | undefined;
}

/** Throws ConfigError or DataError if settings, model, data and adapter do not match. */
export function prepareRun(args: Preparable): Prepared {
  const { data } = args;
  const given = completeOptions(args);
  checkChoices(given, data);
  const { seed } = given;
  // A probe reads its rows, however few they are.
  const batchSize = takesSteps(given.mode) ? given.batchSize : Math.max(1, Math.min(given.batchSize, data.train.size));
  const examples: Examples<DatasetBatch | TokenBatch> = data.train;
  const loader = new Loader(examples, { batchSize, seed });
  const stepCounts = takesSteps(given.mode) ? countSteps(loader, given) : countReading(data);
  const planned = planFitting(args, given);
  const { spec, plan } = planned;
  const trainable = trainableCount(spec);
  const classWeights = weighClasses(data, given.classWeights);
  const { tokens, rows } = data.train.stats();
  const mean = { tokens: Math.round((batchSize * tokens) / rows), sequences: batchSize };
  const flops = countFlops(plan.segments, roomFor(spec, mean));
  return { ...planned, loader, stepCounts, trainable, flops, classWeights };
}

/** Choices of the validation set, and the value of the setting with which it does not choose. */
const CHOICES = [
  ["patience", 0],
  ["calibrate", false],
  ["threshold", "none"],
] as const;

/** Throws ConfigError for what cannot be chosen without a validation set, or not be measured without a test set. */
function checkChoices(given: TrainOptions, { val, test }: TrainingData): void {
  for (const [name, none] of CHOICES) {
    const missing = val.size === 0 ? "validation" : test.size === 0 && name !== "patience" ? "test" : null;
    if (given[name] === none || missing === null) continue;
    const expected = `at least one row in the ${missing} set, or ${setting(name, none)}`;
    throw missingSet(missing, `${setting(name)} needs`, expected);
  }
}

/** The error where a set has no rows: "calibrate needs" a validation set. */
export function missingSet(name: "validation" | "test", needs: string, expected: string): ConfigError {
  const [summary, details] = [`${needs} a ${name} set`, { expected, found: `an empty ${name} set` }];
  return name === "test"
    ? new ConfigError("no-test-set", summary, details)
    : new ConfigError("no-validation-set", summary, details);
}

/** The options of a run, completed and checked against data and adapter. `dtype` and `recompute` may be `auto`. */
export function completeOptions({ device, model, data, adapter, featureBudget, ...given }: Preparable): TrainOptions {
  const { objective } = data;
  checkVocabulary(data, model);
  const settings = adapter ? withAdapter(given, adapter.meta, objective) : given;
  const options = resolveOptions(settings, objective, knownRun(data, model));
  const isBinary = data.labels.length === 2;
  if (options.threshold !== "none" && rowsPerClass(data).length > 2)
    throw new ConfigError("options-conflict", `${setting("threshold")} needs two classes`, {
      expected: `data with two classes, or ${setting("threshold", "none")}`,
      found: `${data.labels.length} classes`,
    });
  const classes = isBinary ? data.labels : [];
  if (options.positive !== null && !classes.includes(options.positive))
    throw new ConfigError("unknown-value", `${setting("positive")} is not one of two classes`, {
      expected: classes.join(" or ") || "data with two classes",
      found: String(options.positive),
    });
  if (adapter) checkLabels(adapter, data);
  return options;
}

/** The rows of the adapter's head must be the classes of the data. PEFT's adapters have no class names. */
function checkLabels({ meta: { labels } }: Adapter, data: TrainingData): void {
  const nameless = labels.every((label, i) => label === `LABEL_${i}`) && labels.length === data.labels.length;
  if (!nameless && labels.join("\n") !== data.labels.join("\n"))
    throw new ConfigError("classes-differ", "the classes of the adapter and the data differ", {
      expected: labels.join(", "),
      found: data.labels.join(", "),
    });
}

/** Throws ConfigError if the data has ids of another vocabulary than the model's. */
export function checkVocabulary({ vocabulary }: TrainingData, { vocabulary: { fingerprint } }: BaseModel): void {
  if (vocabulary !== fingerprint)
    throw new ConfigError("wrong-vocabulary", "the data was tokenized for another vocabulary than the model's", {
      expected: shortName(fingerprint),
      found: shortName(vocabulary),
      hint: "load the data for this model: loadDataset(source, { model }), or loadTexts",
    });
}

export interface StepCounts {
  stepsPerEpoch: number;
  total: number;
  /** Steps of the warm-up. */
  warmup: number;
}

/** Of a probe, which reads each row once: a step is a row. */
function countReading({ train, val, test }: TrainingData): StepCounts {
  const total = train.size + val.size + test.size;
  return { stepsPerEpoch: total, total, warmup: 0 };
}

function countSteps({ batchesPerEpoch }: Loader<unknown>, { accumulate, epochs, warmup }: TrainOptions): StepCounts {
  const stepsPerEpoch = Math.floor(batchesPerEpoch / accumulate);
  if (stepsPerEpoch === 0)
    throw new ConfigError("invalid-value", `${setting("accumulate")} exceeds the number of batches per epoch`, {
      expected: `at most ${batchesPerEpoch}`,
      found: String(accumulate),
    });
  const total = stepsPerEpoch * epochs;
  return { stepsPerEpoch, total, warmup: warmupSteps(warmup, total) };
}
