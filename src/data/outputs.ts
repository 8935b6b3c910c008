/** What labels stand for where a message has not one class: a score, or any number of labels. */
import { DataError, nameList } from "../errors.ts";
import type { Corpus } from "./corpus.ts";
import type { Dataset, Outputs } from "./dataset.ts";

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

/** The outputs of all rows that were read. Throws DataError unless the training set has what can be learned. */
export function makeOutputs(
  corpus: Labels,
  objective: Outputs["objective"],
  train: Pick<Dataset, "size" | "label">,
  where: string,
): Outputs {
  const outputs = objective === "regression" ? scoreOutputs(corpus) : labelOutputs(corpus);
  checkOutputs(
    outputs,
    Array.from({ length: train.size }, (_, row) => outputs.values[train.label(row)]!),
    where,
  );
  return outputs;
}

function scoreOutputs({ labels }: Labels): Outputs {
  const values = labels.map((label) => Float32Array.of(Number(label)));
  return { objective: "regression", names: [SCORE], values };
}

function labelOutputs({ labels }: Labels): Outputs {
  const sets = labels.map((label) => new Set(splitLabels(label)));
  const names = [...new Set(sets.flatMap((set) => [...set]))].sort();
  return {
    objective: "multi-label",
    names,
    values: sets.map((set) => Float32Array.from(names, (name) => Number(set.has(name)))),
  };
}

/** The labels in a cell: "a|b", or none in an empty one. */
function splitLabels(cell: string): string[] {
  return cell.split(SEPARATOR).flatMap((label) => label.trim() || []);
}

/** `rows`: the values of the training set. */
function checkOutputs({ objective, names }: Outputs, rows: readonly Float32Array[], where: string): void {
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
