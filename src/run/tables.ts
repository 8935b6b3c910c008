/** The CSV files of a run directory. */
import {
  CONFUSION_COLUMNS,
  LM_LOSSES_COLUMNS,
  LM_METRICS_COLUMNS,
  type LmLossesRow,
  type LmMetricsRow,
  LOSSES_COLUMNS,
  type LossesRow,
  METRICS_COLUMNS,
  type MetricsRow,
  toCsv,
} from "../report/csv.ts";
import type { EvaluationRecord, TrainResult } from "../train/records.ts";

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

type Measured = Pick<TrainResult, "options" | "before" | "after" | "evaluations" | "seconds"> & { examples: number };

/** The first columns of both objectives' metrics. */
function settingsColumns({ options }: Measured) {
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

function endColumns({ evaluations, examples, seconds }: Measured) {
  return {
    train_loss_last: evaluations.at(-1)?.train?.loss ?? null,
    val_loss_last: evaluations.at(-1)?.val.loss,
    examples_seen: examples,
    minutes: seconds / 60,
  };
}

/** A row of metrics.csv. */
export function metricsRow(run: Measured): MetricsRow {
  const { before, after } = run;
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

function lmMetricsRow(run: Measured): LmMetricsRow {
  const { before, after } = run;
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

/** metrics.csv and losses.csv for the run's objective; confusion.csv for a classifier that was evaluated on the test set. */
export function runTables(result: TrainResult, labels: readonly string[]): [name: string, content: string][] {
  const run = { ...result, examples: result.steps.at(-1)?.examples ?? 0 };
  const { evaluations, confusions } = result;
  if (result.spec.task.objective === "lm")
    return [
      ["metrics.csv", toCsv(LM_METRICS_COLUMNS, [lmMetricsRow(run)])],
      ["losses.csv", toCsv(LM_LOSSES_COLUMNS, evaluations.map(lmLossesRow))],
    ];
  const named = confusions.map(({ truth, predicted, rows }) => ({
    truth: labels[truth]!,
    predicted: labels[predicted]!,
    rows,
  }));
  return [
    ["metrics.csv", toCsv(METRICS_COLUMNS, [metricsRow(run)])],
    ["losses.csv", toCsv(LOSSES_COLUMNS, evaluations.map(lossesRow))],
    ...(result.after ? [["confusion.csv", toCsv(CONFUSION_COLUMNS, named)] as [string, string]] : []),
  ];
}
