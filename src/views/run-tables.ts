/** The CSV files of a run directory. */
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/texts.ts";
import type { TextLosses } from "../engine/evaluate.ts";
import {
  BASELINES_COLUMNS,
  CLASSES_COLUMNS,
  CONFUSION_COLUMNS,
  csvLine,
  LM_LOSSES_COLUMNS,
  LM_METRICS_COLUMNS,
  type LmLossesRow,
  type LmMetricsRow,
  LOSSES_COLUMNS,
  type LossesRow,
  METRICS_COLUMNS,
  type MetricsRow,
  PREDICTIONS_COLUMNS,
  TEXTS_COLUMNS,
  toCsv,
} from "../io/csv.ts";
import type { FileContent } from "../platform/reader.ts";
import type { RunRecord } from "../run/record.ts";
import type { EvaluationRecord, TrainResult } from "../train/records.ts";
import type { TestResults } from "../train/results.ts";

function lossesRow({ step, epoch, examples, lr, train, val }: EvaluationRecord): LossesRow {
  return {
    ...{ step, epoch, examples_seen: examples, lr, train_loss: train?.loss ?? null, val_loss: val.loss },
    ...{ train_acc: train?.accuracy ?? null, val_acc: val.accuracy },
    ...{ val_macro_f1: val.macroF1, grad_norm: train?.norm ?? null },
  };
}

function lmLossesRow({ step, epoch, examples, lr, train, val }: EvaluationRecord): LmLossesRow {
  return {
    ...{ step, epoch, examples_seen: examples, lr, train_loss: train?.loss ?? null, val_loss: val.loss },
    ...{ train_ppl: train ? Math.exp(train.loss) : null, val_ppl: val.perplexity, val_bpb: val.bitsPerByte },
    grad_norm: train?.norm ?? null,
  };
}

/** The first columns of both objectives' metrics. */
function settingsColumns({ options }: RunRecord) {
  const lora = options.mode === "lora";
  return {
    rank: lora ? options.rank : null,
    alpha: lora ? options.alpha : null,
    trainable_layers: options.mode,
    lr: options.lr,
    weight_decay: options.weightDecay,
    num_epochs: options.epochs,
  };
}

function endColumns({ evaluations, examples, seconds }: RunRecord) {
  return {
    train_loss_last: evaluations.at(-1)?.train?.loss ?? null,
    val_loss_last: evaluations.at(-1)?.val.loss,
    examples_seen: examples,
    minutes: seconds / 60,
  };
}

/** A row of metrics.csv. */
export function metricsRow(run: RunRecord): MetricsRow {
  const { before, after } = run.results ?? {};
  return {
    ...settingsColumns(run),
    pre_train_acc: before?.train.accuracy,
    pre_val_acc: before?.val.accuracy,
    pre_test_acc: before?.test.accuracy,
    final_train_acc: after?.train.accuracy,
    final_val_acc: after?.val.accuracy,
    final_test_acc: after?.test.accuracy,
    ...endColumns(run),
    final_train_macro_f1: after?.train.macroF1,
    final_val_macro_f1: after?.val.macroF1,
    final_test_macro_f1: after?.test.macroF1,
  };
}

/** A row of a language model's metrics.csv. */
export function lmMetricsRow(run: RunRecord): LmMetricsRow {
  const { before, after } = run.results ?? {};
  return {
    ...settingsColumns(run),
    pre_train_ppl: before?.train.perplexity,
    pre_val_ppl: before?.val.perplexity,
    pre_test_ppl: before?.test.perplexity,
    final_train_ppl: after?.train.perplexity,
    final_val_ppl: after?.val.perplexity,
    final_test_ppl: after?.test.perplexity,
    final_val_bpb: after?.val.bitsPerByte,
    final_test_bpb: after?.test.bitsPerByte,
    ...endColumns(run),
  };
}

/** metrics.csv and losses.csv for the run's objective, and for an evaluated classifier the tables of its results. */
export function runTables(
  record: RunRecord,
  result: TrainResult,
  data: TrainingData,
): [name: string, content: FileContent][] {
  const { evaluations, results } = record;
  if (data.objective === "lm")
    return [
      ["metrics.csv", toCsv(LM_METRICS_COLUMNS, [lmMetricsRow(record)])],
      ["losses.csv", toCsv(LM_LOSSES_COLUMNS, evaluations.map(lmLossesRow))],
      ...(results?.texts ? [textsTable(results.texts)] : []),
    ];
  return [
    ["metrics.csv", toCsv(METRICS_COLUMNS, [metricsRow(record)])],
    ["losses.csv", toCsv(LOSSES_COLUMNS, evaluations.map(lossesRow))],
    ...(results?.test
      ? [...resultTables(results.test, data.labels), ["predictions.csv", predictionsCsv(result, data)] as const]
      : []),
  ].map(([name, content]) => [name, content]);
}

function textsTable({ of, tokens, bytes, loss }: TextLosses): [name: string, content: string] {
  const word = of === "documents" ? "document" : "block";
  const rows = loss.map((sum, i) => ({ text: `${word} ${i + 1}`, tokens: tokens[i]!, bytes: bytes[i]!, loss: sum }));
  return ["texts.csv", toCsv(TEXTS_COLUMNS, rows)];
}

function resultTables(test: TestResults, labels: readonly string[]): [name: string, content: string][] {
  const confusions = test.confusions.map(({ truth, predicted, rows }) => ({
    truth: labels[truth]!,
    predicted: labels[predicted]!,
    rows,
  }));
  const classes = test.classes.map(({ rows, predicted, precision, recall, f1 }, i) => ({
    ...{ class: labels[i]!, rows, predicted },
    ...{ precision: precision?.share, precision_low: precision?.low, precision_high: precision?.high },
    ...{ recall: recall?.share, recall_low: recall?.low, recall_high: recall?.high },
    ...{ f1: f1?.share, f1_low: f1?.low, f1_high: f1?.high },
  }));
  const compared = test.compared.map((one) => ({
    ...{ classifier: one.name, rows: one.rows, correct: one.correct, accuracy: one.accuracy },
    ...{ accuracy_low: one.interval.low, accuracy_high: one.interval.high, macro_f1: one.macroF1, mcnemar_p: one.p },
  }));
  return [
    ["confusion.csv", toCsv(CONFUSION_COLUMNS, confusions)],
    ["classes.csv", toCsv(CLASSES_COLUMNS, classes)],
    ["baselines.csv", toCsv(BASELINES_COLUMNS, compared)],
  ];
}

/** Characters that are written at a time. */
const CHUNK = 1 << 16;
/** Digits of a probability: logits have f32's. */
const DIGITS = 6;

/** Every row of the validation and test sets. In chunks: texts are decoded from their tokens on the way. */
async function* predictionsCsv(
  { valPredictions, predictions }: TrainResult,
  { labels, val, test }: LoadedDataset,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let chunk = csvLine([...PREDICTIONS_COLUMNS, ...labels.map((label) => `probability ${label}`)]);
  for (const [name, set, some] of [
    ["validation", val, valPredictions],
    ["test", test, predictions],
  ] as const)
    for (const { row, label, probabilities } of some) {
      const shares = Array.from(probabilities, (share) => Number(share.toPrecision(DIGITS)));
      chunk += csvLine([name, set.place(row) + 1, set.text(row), labels[set.label(row)], labels[label], ...shares]);
      if (chunk.length < CHUNK) continue;
      yield encoder.encode(chunk);
      chunk = "";
    }
  yield encoder.encode(chunk);
}
