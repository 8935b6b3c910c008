/** What labels stand for where a message has not one class: a score, or any number of labels. */
import { DataError, nameList } from "../errors.ts";
import type { Corpus } from "./corpus.ts";

/** The outputs of a model, and what each should be. */
export interface Outputs {
  objective: "regression" | "multi-label";
  /** Names of the outputs. */
  names: readonly string[];
  /** By label id, the value of each output: the score, or 1 for the labels that the message has and 0 for the others. */
  values: readonly Float32Array[];
}

/** The name of the one output of a regression. */
const SCORE = "score";
/** Between several labels of a message. */
const SEPARATOR = "|";

type Labels = Pick<Corpus, "labels" | "labelColumn" | "labelLines">;

/** Throws DataError for a label of a file that is no number. */
export function checkScores({ labels, labelColumn, labelLines }: Labels, file: string): void {
  const i = labels.findIndex((label) => !Number.isFinite(Math.fround(Number(label))));
  if (i < 0) return;
  throw new DataError("score-not-a-number", `A score in "${labelColumn}" is not a number`, {
    where: `${file}:${labelLines[i]}`,
    expected: "a number, with a point before decimals",
    found: labels[i]!,
    hint: "give another --label-column; for classes, leave out --objective regression",
  });
}

/** The outputs of all rows that were read. */
export function makeOutputs({ labels }: Labels, objective: Outputs["objective"]): Outputs {
  if (objective === "regression")
    return { objective, names: [SCORE], values: labels.map((label) => Float32Array.of(Number(label))) };
  const sets = labels.map((label) => new Set(splitLabels(label)));
  const names = [...new Set(sets.flatMap((set) => [...set]))].sort();
  return {
    objective,
    names,
    values: sets.map((set) => Float32Array.from(names, (name) => Number(set.has(name)))),
  };
}

/** The labels in a cell: "a|b", or none in an empty one. */
function splitLabels(cell: string): string[] {
  return cell.split(SEPARATOR).flatMap((label) => label.trim() || []);
}

/** Throws DataError unless the training set has what can be learned. */
export function checkOutputs(
  { objective, names }: Outputs,
  train: { size: number; values: (row: number) => Float32Array },
  where: string,
): void {
  const rows = Array.from({ length: train.size }, (_, row) => train.values(row));
  const [first] = rows;
  if (objective === "regression") {
    if (rows.some(([score]) => score !== first![0])) return;
    throw new DataError("scores-all-equal", `Every row of the training set has the score ${first![0]}`, {
      where,
      expected: "different scores",
      hint: "give another --label-column, or add rows with other scores",
    });
  }
  if (names.length > 0 && rows.some((values) => values.includes(1))) return;
  throw new DataError("no-labels", "No row of the training set has a label", {
    where,
    expected: `labels, several of a message with "${SEPARATOR}" between them`,
    found: names.length > 0 ? `in other sets ${nameList(names)}` : "empty cells",
  });
}
