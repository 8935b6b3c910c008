import { DataError, nameList } from "../errors.ts";
import { either, setting } from "../setting.ts";
import { type Corpus, MOST_LISTED } from "./corpus.ts";
import type { Dataset, Outputs } from "./dataset.ts";
import { LIST_SEPARATOR, placeOf } from "./places.ts";
import { LABEL_SEPARATOR, partsOf } from "./table/labels.ts";

/** The name of the one output of a regression. */
const SCORE = "score";
type Labels = Pick<Corpus, "labels" | "labelColumn" | "labelColumns" | "labelLines" | "decimalSign">;

/** The score that a label stands for; NaN: none. */
function readScore(label: string, decimalSign: "." | "," = "."): number {
  const swapped = () => label.replace(/[.,]/g, (sign) => (sign === "," ? "." : ","));
  return Math.fround(Number(decimalSign === "," ? swapped() : label));
}

const isScore = (label: string, sign?: "." | ",") => Number.isFinite(readScore(label, sign));

/** A number in which a comma can be between thousands as well as before decimals. */
const THOUSANDS = /^[-+]?[1-9]\d{0,2},\d{3}$/;

/** Label ids in the order of the file. */
const byLine = ({ labelLines }: Labels) => [...labelLines.keys()].sort((a, b) => labelLines[a]! - labelLines[b]!);

/** The sign before decimals: a comma only if no score has a point. Throws DataError if it may be one of thousands. */
function findDecimalSign(read: Labels, file: string): "." | "," | undefined {
  const { labels, labelColumn, labelLines } = read;
  const using = (sign: "." | ",") => labels.filter((label) => label.includes(sign) && isScore(label, sign));
  if (using(".").length > 0) return ".";
  const withComma = using(",");
  if (!withComma.every((label) => THOUSANDS.test(label))) return ",";
  const first = byLine(read).find((id) => withComma.includes(labels[id]!));
  if (first === undefined) return undefined;
  const label = labels[first]!;
  throw new DataError(
    "ambiguous-scores",
    `The commas in "${labelColumn}" can be between thousands or before decimals`,
    {
      where: placeOf(file, labelLines[first]!),
      expected: "numbers with a point before decimals and nothing between thousands",
      found: nameList(withComma),
      hint: `write ${label.replace(",", "")} or ${label.replace(",", ".")} for ${label}`,
    },
  );
}

/**
 * The rows that have a score. The others are reported in `corpus.leftOut` if invalid rows are skipped. Throws DataError
 * if they are not, or if none is left. `before`: the labels of the sets that were read before.
 */
export function takeScores(
  corpus: Corpus,
  rows: Uint32Array<ArrayBuffer>,
  { skipFaulty, before, file }: { skipFaulty: boolean; before: readonly string[]; file: string },
): Uint32Array<ArrayBuffer> {
  corpus.decimalSign ??= findDecimalSign(corpus, file);
  const { labels, decimalSign, leftOut } = corpus;
  const bad = new Set(byLine(corpus).filter((id) => !isScore(labels[id]!, decimalSign)));
  if (bad.size === 0) return rows;
  const known = new Set(before);
  const fresh = [...bad].filter((id) => !known.has(labels[id]!));
  const errors = fresh.slice(0, MOST_LISTED).map((id) => notScore(corpus, id, file, bad.size));
  if (!skipFaulty) throw errors[0]!;
  const ids = corpus.table(rows, 0).labels;
  const scored = rows.filter((_, i) => !bad.has(ids[i]!));
  leftOut.rows += rows.length - scored.length;
  leftOut.rowErrors.push(...errors);
  if (scored.length === 0) throw leftOut.rowErrors[0]!;
  return scored;
}

function notScore({ labels, labelColumn, labelLines, decimalSign }: Labels, id: number, file: string, bad: number) {
  const label = labels[id]!;
  const hint = isScore(label.replace(/[.,]/g, ""))
    ? "write all scores with a point before decimals, or all with a comma, and nothing between thousands"
    : 2 * bad < labels.length
      ? either("correct the score", `skip such rows with ${setting("skipFaulty", true)}`)
      : `give another ${setting("labelColumn")}; for classes, leave out ${setting("objective", "regression")}`;
  return new DataError("score-not-a-number", `A score in "${labelColumn}" is not a number`, {
    where: placeOf(file, labelLines[id]!),
    expected:
      decimalSign === ","
        ? "a number, with a comma before decimals, as in other rows"
        : "a number, with a point before decimals",
    found: label,
    hint,
  });
}

/** The outputs of all rows that were read, of several labels `first` these. Throws DataError unless the training set has what can be learned. */
export function makeOutputs(
  corpus: Labels,
  labelsAre: Outputs["labelsAre"],
  train: Pick<Dataset, "size" | "label">,
  {
    where,
    separator = LABEL_SEPARATOR,
    first = [],
  }: { where: string; separator?: string | undefined; first?: readonly string[] | undefined },
): Outputs {
  const outputs = labelsAre === "score" ? scoreOutputs(corpus) : labelOutputs(corpus, separator, first, where);
  const rows = Array.from({ length: train.size }, (_, row) => outputs.values[train.label(row)]!);
  checkOutputs(outputs, rows, where, separator);
  return outputs;
}

function scoreOutputs({ labels, decimalSign }: Labels): Outputs {
  const values = labels.map((label) => Float32Array.of(readScore(label, decimalSign)));
  return { labelsAre: "score", names: [SCORE], values };
}

function labelOutputs(read: Labels, separator: string, first: readonly string[], where: string): Outputs {
  const { labels, labelColumns } = read;
  if (labelColumns) return columnOutputs(read, labelColumns, first, where);
  const sets = labels.map((label) => new Set(partsOf(label, separator)));
  const found = sets.flatMap((set) => [...set]).sort();
  const names = [...new Set([...first, ...found])];
  return {
    labelsAre: "set",
    names,
    values: sets.map((set) => Float32Array.from(names, (name) => Number(set.has(name)))),
  };
}

const SET = /^(1([.,]0+)?|true|yes|x)$/i;
const UNSET = /^(0([.,]0+)?|false|no|)$/i;

/** Labels that have a column each. Throws DataError unless its cells say whether a message has the label. */
function columnOutputs(
  { labels, labelLines }: Labels,
  columns: readonly string[],
  first: readonly string[],
  where: string,
): Outputs {
  const names = [...new Set([...first, ...columns])];
  const values = labels.map((label, id) => {
    const cells = label.split(LIST_SEPARATOR).map((cell) => cell.trim());
    const wrong = cells.findIndex((cell) => !SET.test(cell) && !UNSET.test(cell));
    if (wrong >= 0)
      throw new DataError(
        "label-not-flag",
        `A cell of "${columns[wrong]}" does not say whether the message has this label`,
        {
          where: placeOf(where, labelLines[id]!),
          expected: "1, true, yes or x; 0, false, no or nothing",
          found: cells[wrong]!,
          hint: `name only columns of labels with ${setting("labelColumn")}`,
        },
      );
    return Float32Array.from(names, (name) => Number(SET.test(cells[columns.indexOf(name)] ?? "")));
  });
  return { labelsAre: "set", names, values };
}

/** `rows`: the values of the training set. */
function checkOutputs(
  { labelsAre, names }: Outputs,
  rows: readonly Float32Array[],
  where: string,
  separator: string,
): void {
  const [first] = rows;
  if (labelsAre === "score") {
    if (rows.some(([score]) => score !== first![0])) return;
    throw new DataError("scores-all-equal", `Every row of the training set has the score ${first![0]}`, {
      where,
      expected: "different scores",
      hint: `give another ${setting("labelColumn")}, or add rows with other scores`,
    });
  }
  if (names.length > 0 && rows.some((values) => values.includes(1))) return;
  throw new DataError("no-labels", "No row of the training set has a label", {
    where,
    expected: separator === LIST_SEPARATOR ? "lists of labels" : `labels, several with "${separator}" between them`,
    found: names.length > 0 ? `in other sets ${nameList(names)}` : "empty cells",
  });
}
