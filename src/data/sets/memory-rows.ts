/** Rows in memory as a file of JSON lines, which is read as any other. */
import { isListOf, isText } from "../../checks.ts";
import { concat } from "../../concat.ts";
import { ConfigError, DataError, LowrankError } from "../../errors.ts";
import type { TextOrPair } from "../../pair.ts";
import { bytesReader, type FileReader } from "../../platform/reader.ts";
import { setting } from "../../setting.ts";
import type { LabelKind } from "../../tasks/task.ts";
import { type LeftOut, MOST_LISTED } from "../corpus.ts";
import { LIST_SEPARATOR, placeOf, ROWS } from "../places.ts";
import { PAIR_NAMES } from "../table/column-names.ts";
import type { ColumnChoice } from "../table/columns.ts";
import { LABEL_SEPARATOR, partsOf } from "../table/labels.ts";
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
 * Row `i` on line `i + 1`, its columns, and the rows without a text or a label of the kind: their lines are empty.
 * Throws DataError or FormatError for them unless they are skipped, and if there are no others; ConfigError for an
 * option of files.
 */
export function rowsFile(
  rows: readonly unknown[],
  options: RowsOptions,
): { file: FileReader; columns: ColumnChoice; leftOut: LeftOut } {
  const stray = OF_FILES.find((name) => options[name] !== undefined);
  if (stray !== undefined)
    throw new ConfigError("option-without-effect", `${setting(stray)} has no effect on rows in memory`, {
      expected: `rows: ${EXPECTED_ROW}`,
      found: setting(stray, options[stray]),
    });
  const rowErrors: LowrankError[] = [];
  let isPair: boolean | undefined;
  const lines = Array.from(rows, (row, i) => {
    try {
      const { text, label } = readRow(row, placeOf(ROWS, i + 1), isPair, options);
      isPair ??= typeof text !== "string";
      const texts = typeof text === "string" ? { text } : { [PAIR[0]]: text[0], [PAIR[1]]: text[1] };
      return `${JSON.stringify({ ...groupOf(row as LabelledRow, options), ...texts, label })}\n`;
    } catch (error) {
      if (!options.skipFaulty || !(error instanceof LowrankError)) throw error;
      rowErrors.push(error);
      return "\n";
    }
  });
  if (rowErrors.length === rows.length)
    throw rowErrors[0] ?? new DataError("no-rows", "There are no rows", { where: ROWS, found: "an empty array" });
  return {
    file: bytesReader(ROWS, encodeLines(lines)),
    columns: { textColumn: isPair ? PAIR.join() : "text", labelColumn: "label" },
    leftOut: { rows: rowErrors.length, rowErrors: rowErrors.slice(0, MOST_LISTED) },
  };
}

/** A row without a group is one by itself. */
const groupOf = (row: LabelledRow, { groupColumn }: RowsOptions) =>
  groupColumn === undefined ? {} : { [groupColumn]: String(row[groupColumn] ?? "") };

/** Lines that are encoded together: all may be longer than a string can be. */
const PIECE = 4096;

function encodeLines(lines: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for (let i = 0; i < lines.length; i += PIECE) pieces.push(encoder.encode(lines.slice(i, i + PIECE).join("")));
  return concat(Uint8Array, pieces);
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

const EXPECTED: Readonly<Record<Exclude<LabelKind, "tags">, string>> = {
  class: "label: a class, as a string or a number",
  score: "label: a number",
  set: "label: a list of labels, which may be empty",
};

function readLabel(label: unknown, where: string, { labelsAre, labelSeparator = LABEL_SEPARATOR }: RowsOptions) {
  const isOne = Number.isFinite(label) || isText(label);
  if (labelsAre === "set") {
    if (isOne) return partsOf(String(label), labelSeparator).join(LIST_SEPARATOR);
    if (isListOf(label, isText)) return label.join(LIST_SEPARATOR);
  } else if (isOne && String(label).trim() !== "") return label as string | number;
  throw new DataError("row-without-label", "The row has no label", {
    where,
    expected: EXPECTED[labelsAre as keyof typeof EXPECTED],
    found: isText(label) ? "an empty string" : nameKind(label),
    ...(Array.isArray(label) ? { hint: `for several labels a message: ${setting("objective", "multi-label")}` } : {}),
  });
}
