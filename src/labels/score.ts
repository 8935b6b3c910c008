/** Scores: each text has a number. */
import { ConfigError, DataError, nameList } from "../core/errors.ts";
import { MOST_LISTED, placeOf } from "../core/places.ts";
import { either, setting } from "../core/setting.ts";
import { countRows, haveDecimals, isNumber, NEARLY_ALL, readOne } from "./cells.ts";
import type { LabelKind, LabelRows, ReadLabels } from "./kind.ts";

/** The name of the one output of a regression. */
const OUTPUT = "score";

/** The score that a label stands for; NaN: none. */
function readScore(label: string, decimalSign: "." | "," = "."): number {
  const swapped = () => label.replace(/[.,]/g, (sign) => (sign === "," ? "." : ","));
  return Math.fround(Number(decimalSign === "," ? swapped() : label));
}

const isScore = (label: string, sign?: "." | ",") => Number.isFinite(readScore(label, sign));

/** A number in which a comma can be between thousands as well as before decimals. */
const THOUSANDS = /^[-+]?[1-9]\d{0,2},\d{3}$/;

/** Label ids in the order of the file. */
const byLine = ({ labelLines }: ReadLabels) => [...labelLines.keys()].sort((a, b) => labelLines[a]! - labelLines[b]!);

/** The sign before decimals: a comma only if no score has a point. Throws DataError if it may be one of thousands. */
function findDecimalSign(read: ReadLabels, file: string): "." | "," | undefined {
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
const takeRows: LabelKind["takeRows"] = (corpus, rows, { skipFaulty, before, file }) => {
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
};

function notScore({ labels, labelColumn, labelLines, decimalSign }: ReadLabels, id: number, file: string, bad: number) {
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

export const trueScores = (set: LabelRows) => Array.from({ length: set.size }, (_, row) => set.values(row)[0]!);

export const meanScore = (set: LabelRows) => trueScores(set).reduce((sum, score) => sum + score, 0) / set.size;

export const SCORE: LabelKind<LabelRows> = {
  of: "text",
  isList: false,
  columns: ["numbers", "labels", "flags"],
  fit: "scores",
  expected: "label: a number",
  readValue: readOne,
  checkNames() {
    throw new ConfigError("options-conflict", "labels is invalid for a regression", {
      expected: "no labels: scores are numbers",
    });
  },
  takeRows,
  outputs({ labels, decimalSign }, train, { where }) {
    const values = labels.map((label) => Float32Array.of(readScore(label, decimalSign)));
    const scores = Array.from({ length: train.size }, (_, row) => values[train.label(row)]![0]!);
    if (scores.some((score) => score !== scores[0])) return { names: [OUTPUT], counted: [], values };
    throw new DataError("scores-all-equal", `Every row of the training set has the score ${scores[0]}`, {
      where,
      expected: "different scores",
      hint: `give another ${setting("labelColumn")}, or add rows with other scores`,
    });
  },
  recognize(classes) {
    const labels = Object.keys(classes);
    const numbers = labels.filter(isNumber);
    if (countRows(classes, numbers) < NEARLY_ALL * countRows(classes, labels) || !haveDecimals(labels)) return null;
    const sign = numbers.some((label) => label.includes(".")) ? "point" : "comma";
    return { code: "scores", why: `scores: numbers with a decimal ${sign}`, settings: "" };
  },
  rereads: () => ({ split: "ordered" }),
  labelsOf: () => [],
  answerOf: (set, row) => set.values(row)[0]!,
  baselines({ train, test }) {
    const mean = meanScore(train);
    const name = `always the mean, ${Number(mean.toPrecision(4))}`;
    return [{ name, values: new Float64Array(test.size).fill(mean) }];
  },
};
