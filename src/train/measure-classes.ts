/** Measures a classifier with one class a message, compared with the baselines. */
import type { LoadedDataset } from "../data/datasets.ts";
import { evaluateRows } from "../engine/evaluate.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { predictions } from "../tasks/predictions.ts";
import { predictBaselines } from "./baselines.ts";
import { choosePositive, decideSets } from "./decision.ts";
import type { Splits } from "./measured.ts";
import { measureTest } from "./results.ts";
import type { TrainOptions } from "./settings.ts";

export async function measure(
  data: LoadedDataset,
  options: TrainOptions,
  evaluated: Splits<Evaluation>,
  logits: Splits<Float32Array>,
  signal?: AbortSignal,
) {
  const predict = (some: Float32Array) => predictions(some, data.labels.length);
  const own = { train: predict(logits.train), val: predict(logits.val), test: predict(logits.test) };
  const positive = choosePositive(data, options.positive);
  const { decision, after, predictions: decided } = decideSets({ ...options, positive }, data, evaluated, own);
  const baselines = await predictBaselines(data, signal);
  const parts = data.testParts.map(({ name, positions }) => {
    const chosen = [...positions].map((row) => decided.test[row]!);
    return { name, ...evaluateRows(chosen, (row) => data.test.label(row)) };
  });
  const test = measureTest(data, decided.test, baselines, positive);
  return {
    results: { after, parts, decision, test, texts: null },
    predictions: decided.test,
    valPredictions: decided.val,
  };
}
