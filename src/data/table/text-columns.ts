/** Finds the columns of the texts in a table that needs no labels. */

import { DataError, nameList } from "../../errors.ts";
import { setting } from "../../setting.ts";
import { chooseColumns, describeColumns } from "./column-facts.ts";
import { PAIR_NAMES, TEXT_NAMES } from "./column-names.ts";
import {
  type Columns,
  columnNamed,
  findAskedTexts,
  findPair,
  findUsual,
  likelyLabel,
  looksLikeData,
  pairNamed,
} from "./columns.ts";

/** The column or key of the texts, and that of the second texts if they are pairs. */
interface TextColumns {
  text: number;
  textName: string;
  /** -1: the texts are no pairs. */
  second: number;
  secondName?: string | undefined;
}

export interface TextChoice {
  text: string | undefined;
  /** The text column if a file has a column of this name and none was requested. */
  likelyText?: string | undefined;
  /** Whether the texts are pairs; undefined: as requested. */
  isPair?: boolean | undefined;
}

/**
 * Finds the columns of a CSV or TSV file that need have no labels, by its first rows. A file of one or two columns can
 * have no header, as in `findColumns`. Throws DataError if a column is missing or ambiguous.
 */
export async function findText(
  sample: string[][],
  choice: TextChoice,
  file: string,
): Promise<TextColumns & Pick<Columns, "header" | "width">> {
  const [names = [], ...rows] = sample;
  const asked = withLikely(names, choice);
  const width = names.length;
  const label = width === 2 ? likelyLabel(rows.length > 0 ? rows : sample) : -1;
  const text = width === 1 ? 0 : label < 0 ? -1 : 1 - label;
  if (asked.text === undefined && !asked.isPair && text >= 0 && looksLikeData(names, rows, label))
    return { text, textName: "text", second: -1, header: false, width };
  const guess = width > 2 ? await guessText(names, rows) : text;
  return { ...findTextName(names, guess, asked, file), header: true, width };
}

/** The column with the longest texts by far; -1: none has. */
export async function guessText(names: readonly string[], rows: readonly (readonly string[])[]): Promise<number> {
  return chooseColumns(describeColumns(names, rows), { text: -1, second: -1, label: -1, labelsAre: "class" }).text;
}

/** Requests the likely column, or columns, if they exist and no other was requested. */
function withLikely(names: string[], choice: TextChoice): TextChoice {
  const { text, likelyText } = choice;
  const isThere =
    likelyText !== undefined && (columnNamed(names, likelyText) >= 0 || pairNamed(names, likelyText) !== null);
  return text === undefined && isThere ? { ...choice, text: likelyText } : choice;
}

/** The columns by their names; without one that is usual for texts it is the only one that is left, or `guess`. */
export function findTextName(names: string[], guess: number, choice: TextChoice, file: string): TextColumns {
  const asked = withLikely(names, choice);
  const [usual, second] = findTexts(names, asked, file);
  const left = names.length === 1 ? 0 : guess;
  const text = usual >= 0 ? usual : left;
  if (text >= 0 && text === second)
    throw new DataError("same-column", "Both texts are the same column", { where: file, found: names[text]! });
  if (text >= 0) return { text, textName: names[text] ?? "", second, secondName: names[second] };
  throw new DataError("column-not-recognized", "No column is recognized as the text", {
    where: file,
    expected: `one of ${TEXT_NAMES.join(", ")}`,
    found: nameList(names),
    columns: names,
    hint: `give its name with ${setting("textColumn")}`,
  });
}

/**
 * The columns of the texts, or -1. Throws DataError for one column of texts where they are pairs, and for two if not.
 */
function findTexts(names: string[], { text, isPair }: TextChoice, file: string): [number, number] {
  const found =
    text !== undefined
      ? findAskedTexts(names, text, file)
      : isPair
        ? (findPair(names, -1) ?? [-1, -1])
        : ([findUsual(names, "text", -1, file), -1] as [number, number]);
  const hasPair = found[1] >= 0;
  if (isPair === undefined || isPair === hasPair) return found;
  throw new DataError(
    isPair ? "column-not-recognized" : "wrong-text-count",
    isPair ? "The model reads pairs of texts: two columns are needed" : "The model reads single texts, not pairs",
    {
      where: file,
      expected: isPair ? `columns such as ${PAIR_NAMES[0]!.join(" and ")}` : "one column of texts",
      found: text ?? nameList(names),
      columns: names,
      hint: isPair
        ? `give both names: ${setting("textColumn", "FIRST,SECOND")}`
        : `give its name with ${setting("textColumn")}`,
    },
  );
}
