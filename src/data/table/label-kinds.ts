/** What the labels of a column look like: recognised for a person to decide, not decided. */
import { formatCount, percent } from "../../format.ts";
import type { LabelKind } from "../../tasks/task.ts";
import { findCombined } from "./label-faults.ts";
import { haveDecimals, isNumber, MANY_CLASSES } from "./labels.ts";

/** What the cells of a column seem to be, and why. */
export interface Recognized {
  labelsAre: LabelKind;
  why: string;
  /** Between several labels of a cell. */
  separator?: string;
  /** Before the decimals of scores. */
  decimalSign?: "." | ",";
}

/** Cells are numbers, or lists of labels, if at least this share of them is. */
const [NEARLY_ALL, SOME] = [0.9, 0.05];

/** The cells of some rows, empty ones not counted. */
export function recognizeLabels(cells: readonly string[]): Recognized {
  const values = cells.map((cell) => cell.trim()).filter((cell) => cell !== "");
  const distinct = [...new Set(values)];
  const numbers = values.filter(isNumber);
  if (values.length > 0 && numbers.length >= NEARLY_ALL * values.length) {
    const decimalSign = numbers.some((value) => value.includes(".")) ? "." : ",";
    if (haveDecimals(distinct))
      return {
        labelsAre: "score",
        decimalSign,
        why: `numbers with a decimal ${decimalSign === "," ? "comma" : "point"}`,
      };
    if (distinct.length > MANY_CLASSES)
      return { labelsAre: "score", why: `${formatCount(distinct.length)} different numbers` };
    return { labelsAre: "class", why: `${distinct.length} different whole numbers, which may be scores, too` };
  }
  const combined = findCombined(distinct);
  const lists = new Set(combined?.labels);
  const share = values.filter((value) => lists.has(value)).length / Math.max(1, values.length);
  if (combined && share >= SOME) {
    const { separator } = combined;
    return {
      labelsAre: "set",
      separator,
      why: `"${separator}" between several labels in ${percent(share)} of the rows`,
    };
  }
  return { labelsAre: "class", why: `${formatCount(distinct.length)} different labels` };
}

/** Lines of a file that say what it is. */
const LINES = 200;
const TAG = /^(O|[BIESLU]-\S+)$/;

/** Whether a text is a CoNLL file: lines of a word and its tag, with an empty line behind each sentence. */
export function looksTagged(text: string): boolean {
  const lines = text
    .split(/\r?\n/)
    .slice(0, LINES)
    .filter((line) => line.trim() !== "");
  const tagged = lines.filter((line) => {
    const columns = line.trim().split(/\s+/);
    return columns[0] === "-DOCSTART-" || (columns.length > 1 && TAG.test(columns.at(-1)!));
  });
  return lines.length > 0 && tagged.length >= NEARLY_ALL * lines.length;
}
