/** Rows in memory as a file of JSON lines, which is read as any other. */
import { isListOf, isText } from "../../core/checks.ts";
import { ConfigError, DataError, LowrankError } from "../../core/errors.ts";
import type { TextOrPair } from "../../core/pair.ts";
import { type LeftOut, MOST_LISTED, placeOf, ROWS } from "../../core/places.ts";
import { setting } from "../../core/setting.ts";
import { LABEL_SEPARATOR } from "../../labels/cells.ts";
import type { LabelKind } from "../../labels/kind.ts";
import type { Groups } from "../duplicates.ts";
import type { CellRows } from "../table/cell-writer.ts";
import type { CellRow } from "../table/cells.ts";
import { PAIR_NAMES } from "../table/column-names.ts";
import type { ColumnChoice } from "../table/columns.ts";
import { checkRow, nameKind } from "../text/text-rows.ts";

/** A row of `loadDataset`. */
export interface LabelledRow {
  /** A text, or two whose relation is learned. */
  text: TextOrPair;
  /** A class, the score of a regression, or a list of labels where a message has several; a number may name a class. */
  label: string | number | readonly string[];
  /** Others are not read, but that of `groupColumn`. */
  [column: string]: unknown;
}

const PAIR = PAIR_NAMES[0]!;

const EXPECTED_ROW = '{ text: "...", label: "..." }';

/** Options of `loadDataset`, and what labels are. */
interface RowsOptions extends ColumnChoice {
  labelsAre: LabelKind;
  labelSeparator?: string;
  groupColumn?: string;
  skipFaulty?: boolean;
  encoding?: string;
}

const OF_FILES = ["textColumn", "labelColumn", "encoding"] as const;

/**
 * Rows in memory, with the group of each if the options name a column of groups. Throws DataError or FormatError for a
 * row without a text or a label of the kind, unless they are `leftOut`, and if there are no others; ConfigError for an
 * option of files.
 */
export function memoryRows(
  rows: readonly unknown[],
  options: RowsOptions,
  leftOut: LeftOut,
): { file: CellRows; groups: Groups } {
  const stray = OF_FILES.find((name) => options[name] !== undefined);
  if (stray !== undefined)
    throw new ConfigError("option-without-effect", `${setting(stray)} has no effect on rows in memory`, {
      expected: `rows: ${EXPECTED_ROW}`,
      found: setting(stray, options[stray]),
    });
  const groups: Groups[number][] = [];
  let isPair: boolean | undefined;
  const read: CellRow[] = [];
  for (const [i, row] of rows.entries())
    try {
      const { text, label } = readRow(row, placeOf(ROWS, i + 1), isPair, options);
      isPair ??= typeof text !== "string";
      const cells = typeof text === "string" ? [text, String(label)] : [text[0], String(label), text[1]];
      read.push({ number: i + 1, cells });
      groups.push(String((row as LabelledRow)[options.groupColumn ?? ""] ?? "").trim() || undefined);
    } catch (error) {
      if (!options.skipFaulty || !(error instanceof LowrankError)) throw error;
      if (leftOut.rows++ < MOST_LISTED) leftOut.rowErrors.push(error);
    }
  const none = new DataError("no-rows", "There are no rows", { where: ROWS, found: "an empty array" });
  if (read.length === 0) throw leftOut.rowErrors[0] ?? none;
  const [textName, secondName] = isPair ? PAIR : ["text"];
  return { file: { name: ROWS, found: { textName: textName!, secondName, labelName: "label" }, rows: [read] }, groups };
}

/** `isPair`: whether the rows before are pairs. */
function readRow(value: unknown, where: string, isPair: boolean | undefined, options: RowsOptions) {
  const { text, label } = checkRow(value, where, EXPECTED_ROW);
  const isTexts = isListOf(text, isText) && text.length === 2;
  const isRight = isPair === undefined ? isText(text) || isTexts : isPair ? isTexts : isText(text);
  if (!isRight)
    throw new DataError("value-not-text", "The row has no text", {
      where,
      expected: ["text: a string", "text: an array of two strings"]
        .filter((_, i) => isPair === undefined || isPair === (i === 1))
        .join(", or "),
      found: nameKind(text),
      ...(isPair !== undefined && (isText(text) || isTexts)
        ? { hint: "all rows have single texts, or all have pairs, as the first" }
        : {}),
    });
  return { text: text as TextOrPair, label: readLabel(label, where, options) };
}

function readLabel(label: unknown, where: string, { labelsAre, labelSeparator = LABEL_SEPARATOR }: RowsOptions) {
  const cell = labelsAre.readValue!(label, labelSeparator);
  if (cell !== undefined) return cell;
  throw new DataError("row-without-label", "The row has no label", {
    where,
    expected: labelsAre.expected!,
    found: isText(label) ? "an empty string" : nameKind(label),
    ...(Array.isArray(label) ? { hint: `for several labels a message: ${setting("objective", "multi-label")}` } : {}),
  });
}
