/** Tables as RFC 4180 text, and the columns of the files that a run writes. */
import { FormatError } from "../errors.ts";

/** A field: null and undefined are empty. */
export type Field = string | number | boolean | null | undefined;

/** One row an experiment, metrics.csv. The columns are those of the published results. */
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
] as const;
/** Accuracies are within [0, 1]; rank and alpha are null where there is no LoRA. */
export type MetricsRow = Record<(typeof METRICS_COLUMNS)[number], Field>;

/** One row an evaluation, losses.csv. */
export const LOSSES_COLUMNS = [
  "step",
  "epoch",
  "examples_seen",
  "lr",
  "train_loss",
  "val_loss",
  "train_acc",
  "val_acc",
  "grad_norm",
] as const;
/** `epoch` counts whole and part epochs (1.5 is half of the second); what was not measured is null. */
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

/** One row a pair of classes that occurs on the test set, confusion.csv. */
export const CONFUSION_COLUMNS = ["truth", "predicted", "rows"] as const;

/**
 * A header line and one line a row, ended by CRLF. Everything reads back as it was: numbers are written in full,
 * and a label stays as it is where a spreadsheet would take it for a formula.
 * Throws FormatError where a row has a key that is no column, or lacks one.
 */
export function toCsv<C extends string>(columns: readonly C[], rows: readonly Readonly<Record<C, Field>>[]): string {
  const lines = [columns.map(quote).join(",")];
  for (const [i, row] of rows.entries()) {
    const keys = Object.keys(row);
    const odd = [
      ...keys.filter((key) => !(columns as readonly string[]).includes(key)),
      ...columns.filter((column) => !keys.includes(column)),
    ];
    if (odd.length > 0)
      throw new FormatError(`row ${i + 1} does not fit the columns`, {
        expected: columns.join(", "),
        found: `${odd.join(", ")} missing or not among them`,
      });
    lines.push(columns.map((column) => quote(row[column])).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}

function quote(field: Field): string {
  const text = field === null || field === undefined ? "" : String(field);
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
