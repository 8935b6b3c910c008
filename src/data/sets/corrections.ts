/** Corrected labels: the rows of a review of labels (review.csv) whose column "correct label" somebody has filled. */
import { DataError, nameList } from "../../errors.ts";
import { groupBy } from "../../group-by.ts";
import { joinPair, type TextOrPair } from "../../pair.ts";
import { isSameCell } from "../../quote.ts";
import { nearest } from "../../suggest.ts";
import { bytesReader } from "../bytes-reader.ts";
import { CHUNK_BYTES, Corpus, type ReadOptions } from "../corpus.ts";
import type { Dataset } from "../dataset.ts";
import { lineOf, placeOf, ROWS } from "../places.ts";
import type { Files } from "../settings.ts";
import type { DataModule } from "../wasm.ts";
import { type Corrected, readSource } from "./source.ts";

/** The columns of a review that are read. */
export const REVIEW = { row: "row", texts: ["text", "text_pair"], correct: "correct label" } as const;

/** Instead of a label: the row is left out. */
const DROP = "drop";
/** Before a label that the data does not have, once in the column. */
const NEW = /^new:\s*(?=\S)/i;

interface Correction {
  /** From 0. */
  place: number;
  text: TextOrPair;
  label: string;
  file: string;
  line: number;
}

async function readCorrections(
  file: string,
  hasPairs: boolean,
  loadModule: () => Promise<DataModule>,
): Promise<Correction[]> {
  const textColumn = hasPairs ? REVIEW.texts.join() : REVIEW.texts[0];
  const read = async (labelColumn: string) => {
    const options = { labelsAre: "set", maxLength: 1, chunkBytes: CHUNK_BYTES, textColumn, labelColumn } as const;
    const corpus = new Corpus(await loadModule());
    const set = await readSource(corpus, file, options);
    return {
      set,
      cell: (i: number) => set.labels[set.label(i)]!,
      line: (i: number) => corpus.labelLines[set.label(i)]!,
    };
  };
  const [rows, correct] = [await read(REVIEW.row), await read(REVIEW.correct)];
  const filled = Array.from(correct.set.positions()).filter((i) => correct.cell(i) !== "");
  if (filled.length === 0)
    throw new DataError("no-labels", "No label is corrected", {
      where: file,
      expected: `labels in the column "${REVIEW.correct}", or "${DROP}" to leave a row out`,
    });
  return filled.map((i) => {
    const place = Number(rows.cell(i)) - 1;
    return { place, text: correct.set.text(i), label: correct.cell(i), file, line: rows.line(i) };
  });
}

/** Throws DataError for a correction of a row that is not there, or that has another text. */
function check({ place, text, file, line }: Correction, rows: Dataset): void {
  const where = placeOf(file, line);
  const hint = "correct the review.csv that was made of this data";
  if (!(Number.isInteger(place) && place >= 0 && place < rows.size))
    throw new DataError("index-out-of-range", "A correction is of a row that is not there", {
      where,
      expected: `1 to ${rows.size} in the column "${REVIEW.row}"`,
      found: Number.isNaN(place) ? "no number" : String(place + 1),
      hint,
    });
  const own = [rows.text(place)].flat();
  if ([text].flat().every((part, i) => isSameCell(part, own[i]!))) return;
  const plain = (text: TextOrPair) => joinPair(text).replace(/\s+/g, " ").trim();
  throw new DataError("inputs-changed", "A correction is of another text than the row's", {
    where,
    expected: plain(rows.text(place)).slice(0, 80),
    found: plain(text).slice(0, 80),
    hint,
  });
}

/** The label that a cell stands for; undefined: it is none of these. */
const findLabel = (cell: string, labels: readonly string[]) =>
  labels.find((label) => label === cell) ?? labels.find((label) => isSameCell(cell, label));

/** The error for labels of corrections that the data does not have: misspelt ones, or new ones. */
function unknownLabels(unknown: readonly Correction[], given: readonly string[]): DataError {
  const firsts = [...groupBy(unknown, ({ label }) => label).values()].map(([first]) => first!);
  const [{ label: one, file, line }] = firsts as [Correction];
  const found = firsts.map(({ label, file, line }) => {
    const near = nearest(label, given);
    return `"${label}" (${lineOf(file, line)}${near ? `, did you mean "${near}"?` : ""})`;
  });
  return new DataError("unknown-label", "Labels of corrections are neither in the data nor marked as new", {
    where: placeOf(file, line),
    expected: `${nameList(given)}, or "${DROP}" to leave a row out`,
    found: nameList(found),
    hint: `correct them, or mark a new label, once, in the column "${REVIEW.correct}": "new: ${one}"`,
  });
}

/**
 * All rows that were read, with corrected labels: they are read again into the corpus, so that the classes are those of
 * the corrected rows. The places of rows stay. Of several corrections of a row the last counts.
 */
export async function correctRows(
  corpus: Corpus,
  rows: Dataset,
  read: ReadOptions,
  files: Files,
  loadModule: () => Promise<DataModule>,
): Promise<{ rows: Dataset; corrected: Corrected }> {
  const { pairColumns } = corpus;
  const given = [...rows.labels];
  const isClass = read.labelsAre === "class";
  const lists: Correction[][] = [];
  for (const file of [files].flat()) lists.push(await readCorrections(file, pairColumns !== undefined, loadModule));
  const corrections = lists.flat();
  const news = corrections.flatMap(({ label }) => (NEW.test(label) ? label.replace(NEW, "") : []));
  const added = [...new Set(news)].filter((label) => !findLabel(label, given));
  const unknown: Correction[] = [];
  /** By place; null: the row is left out. */
  const labels = new Map<number, string | null>();
  for (const correction of corrections) {
    check(correction, rows);
    const { place, label } = correction;
    // Scores, and sets of labels, need not be among those of the data.
    const known = isClass ? findLabel(label, given) : given.find((one) => one === label);
    const isDropped = known === undefined && isSameCell(label, DROP);
    const named = known ?? findLabel(label.replace(NEW, ""), [...given, ...added]);
    if (isClass && named === undefined && !isDropped) unknown.push(correction);
    labels.set(place, isDropped ? null : (named ?? label));
  }
  if (unknown.length > 0) throw unknownLabels(unknown, given);
  const isDropped = (place: number) => labels.get(place) === null;
  const kept = [...rows.positions()].filter((place) => !isDropped(place));
  if (kept.length === 0) throw new DataError("no-rows", "All rows are left out", { where: nameList([files].flat()) });
  const labelOf = (place: number) => labels.get(place) ?? given[rows.label(place)]!;
  // A row that is left out keeps its place, and adds no class.
  const line = (place: number) => labelOf(isDropped(place) ? kept[0]! : place);
  const textColumns = pairColumns ?? ["text"];
  const labelColumn = textColumns.includes("label") ? "label of the row" : "label";
  const lines = [...rows.positions()].map((place) => {
    const texts = [rows.text(place)].flat().map((text, i) => [textColumns[i]!, text]);
    return `${JSON.stringify({ ...Object.fromEntries(texts), [labelColumn]: line(place) })}\n`;
  });
  const changed = kept.filter((place) => labelOf(place) !== given[rows.label(place)]).length;
  corpus.clear();
  const { classes: _, encoding: __, ...options } = read;
  const columns = { textColumn: textColumns.join(), labelColumn };
  const corrected = bytesReader(ROWS, new TextEncoder().encode(lines.join("")));
  const all = await readSource(corpus, corrected, { ...options, ...columns });
  return { rows: all.select(kept), corrected: { labels: changed, dropped: rows.size - kept.length, added } };
}
