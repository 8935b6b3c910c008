/** CSV (RFC 4180), and the columns of a run's CSV files. */
import { FormatError } from "../errors.ts";

/** A field; null and undefined are written as empty. */
export type Field = string | number | boolean | null | undefined;

/** metrics.csv: one row per experiment. The columns are those of the published results, then macro F1. */
export const METRICS_COLUMNS = [
  "rank",
  "alpha",
  "trainable_layers",
  "lr",
  "weight_decay",
  "num_epochs",
  "pre_train_acc",
  "pre_val_acc",
  "pre_test_acc",
  "final_train_acc",
  "final_val_acc",
  "final_test_acc",
  "train_loss_last",
  "val_loss_last",
  "examples_seen",
  "minutes",
  "final_train_macro_f1",
  "final_val_macro_f1",
  "final_test_macro_f1",
] as const;
/** Accuracies and macro F1 are within [0, 1]; rank and alpha are null without LoRA. */
export type MetricsRow = Record<(typeof METRICS_COLUMNS)[number], Field>;

/** losses.csv: one row per evaluation. */
export const LOSSES_COLUMNS = [
  "step",
  "epoch",
  "examples_seen",
  "lr",
  "train_loss",
  "val_loss",
  "train_acc",
  "val_acc",
  "val_macro_f1",
  "grad_norm",
] as const;
/** `epoch` is fractional (1.5: in the middle of the second epoch); values that were not measured are null. */
export type LossesRow = Record<(typeof LOSSES_COLUMNS)[number], Field>;

/** metrics.csv of a language model: perplexities (ppl), and bits per byte (bpb). */
export const LM_METRICS_COLUMNS = [
  "rank",
  "alpha",
  "trainable_layers",
  "lr",
  "weight_decay",
  "num_epochs",
  "pre_train_ppl",
  "pre_val_ppl",
  "pre_test_ppl",
  "final_train_ppl",
  "final_val_ppl",
  "final_test_ppl",
  "final_val_bpb",
  "final_test_bpb",
  "train_loss_last",
  "val_loss_last",
  "examples_seen",
  "minutes",
] as const;
export type LmMetricsRow = Record<(typeof LM_METRICS_COLUMNS)[number], Field>;

/** losses.csv of a language model. */
export const LM_LOSSES_COLUMNS = [
  "step",
  "epoch",
  "examples_seen",
  "lr",
  "train_loss",
  "val_loss",
  "train_ppl",
  "val_ppl",
  "val_bpb",
  "grad_norm",
] as const;
export type LmLossesRow = Record<(typeof LM_LOSSES_COLUMNS)[number], Field>;

/** confusion.csv: one row per pair of classes that occurs on the test set. */
export const CONFUSION_COLUMNS = ["truth", "predicted", "rows"] as const;

/** classes.csv: precision, recall and F1 of each class on the test set, with the bounds of Wilson's 95 % intervals. */
export const CLASSES_COLUMNS = [
  "class",
  "rows",
  "predicted",
  "precision",
  "precision_low",
  "precision_high",
  "recall",
  "recall_low",
  "recall_high",
  "f1",
  "f1_low",
  "f1_high",
] as const;

/** baselines.csv: this run and the baselines on the test set; p is that of McNemar's exact test against this run. */
export const BASELINES_COLUMNS = [
  "classifier",
  "rows",
  "correct",
  "accuracy",
  "accuracy_low",
  "accuracy_high",
  "macro_f1",
  "mcnemar_p",
] as const;

/** texts.csv: a language model's loss on each document or block of the test set, summed over its tokens, in nats. */
export const TEXTS_COLUMNS = ["text", "tokens", "bytes", "loss"] as const;

/** The first columns of predictions.csv; one column per class follows. */
export const PREDICTIONS_COLUMNS = ["set", "row", "text", "truth", "predicted"] as const;

/**
 * A header line and one line per row, with CRLF line ends. Lossless: numbers are written with full precision, and
 * labels that a spreadsheet would interpret as formulas are not changed.
 * Throws FormatError if the keys of a row are not exactly the columns.
 */
export function toCsv<C extends string>(columns: readonly C[], rows: readonly Readonly<Record<C, Field>>[]): string {
  const lines = [csvLine(columns)];
  for (const [i, row] of rows.entries()) {
    const keys = Object.keys(row);
    const odd = [
      ...keys.filter((key) => !(columns as readonly string[]).includes(key)),
      ...columns.filter((column) => !keys.includes(column)),
    ];
    if (odd.length > 0)
      throw new FormatError("wrong-field-count", `row ${i + 1} does not fit the columns`, {
        expected: columns.join(", "),
        found: `missing or unknown: ${odd.join(", ")}`,
      });
    lines.push(csvLine(columns.map((column) => row[column])));
  }
  return lines.join("");
}

/** One line, with its CRLF. */
export function csvLine(fields: readonly Field[]): string {
  return `${fields.map((field) => csvField(field)).join(",")}\r\n`;
}

/** A field as written in a line of CSV. */
export function csvField(field: Field, separator = ","): string {
  const text = field === null || field === undefined ? "" : String(field);
  const isQuoted = text.includes(separator) || /["\r\n]|^\s|\s$/.test(text);
  return isQuoted ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The fields of each line of CSV as `csvLine` writes it. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  // A field in quotes, in which a quote is doubled, or one without; then what ends it.
  for (const [, quoted, plain, end] of text.matchAll(/(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r\n)/g)) {
    row.push(quoted?.replaceAll('""', '"') ?? plain!);
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}
