/** Corrected labels: the rows of a review of labels (review.csv) whose column "correct label" somebody has filled. */
import { DataError, nameList } from "../../errors.ts";
import { joinPair, type TextOrPair } from "../../pair.ts";
import { bytesReader } from "../bytes-reader.ts";
import { CHUNK_BYTES, Corpus, type ReadOptions } from "../corpus.ts";
import type { Dataset } from "../dataset.ts";
import { ROWS } from "../places.ts";
import type { Files } from "../settings.ts";
import type { DataModule } from "../wasm.ts";
import { type Corrected, readSource } from "./source.ts";

/** The columns of a review that are read. */
export const REVIEW = { row: "row", texts: ["text", "text_pair"], correct: "correct label" } as const;

/** Instead of a label: the row is left out. */
const DROP = "drop";

interface Correction {
  /** From 0. */
  place: number;
  text: TextOrPair;
  label: string;
  file: string;
}

async function readCorrections(
  file: string,
  hasPairs: boolean,
  loadModule: () => Promise<DataModule>,
): Promise<Correction[]> {
  const textColumn = hasPairs ? REVIEW.texts.join() : REVIEW.texts[0];
  const read = async (labelColumn: string) => {
    const options = { labelsAre: "set", maxLength: 1, chunkBytes: CHUNK_BYTES, textColumn, labelColumn } as const;
    return readSource(new Corpus(await loadModule()), file, options);
  };
  const [rows, correct] = [await read(REVIEW.row), await read(REVIEW.correct)];
  const cell = (set: Dataset, i: number) => set.labels[set.label(i)]!;
  const filled = Array.from(correct.positions()).filter((i) => cell(correct, i) !== "");
  if (filled.length === 0)
    throw new DataError("no-labels", "No label is corrected", {
      where: file,
      expected: `labels in the column "${REVIEW.correct}", or "${DROP}" to leave a row out`,
    });
  return filled.map((i) => {
    const place = Number(cell(rows, i)) - 1;
    return { place, text: correct.text(i), label: cell(correct, i), file };
  });
}

/** White space is not compared: spreadsheets write line ends in their own way. */
const plain = (text: TextOrPair) => joinPair(text).replace(/\s+/g, " ").trim();

/** Throws DataError for a correction of a row that is not there, or that has another text. */
function check({ place, text, file }: Correction, rows: Dataset): void {
  const where = `${file}, row ${place + 1}`;
  const hint = "correct the review.csv that was made of this data";
  if (!(Number.isInteger(place) && place >= 0 && place < rows.size))
    throw new DataError("index-out-of-range", "A correction is of a row that is not there", {
      where: file,
      expected: `1 to ${rows.size} in the column "${REVIEW.row}"`,
      found: Number.isNaN(place) ? "no number" : String(place + 1),
      hint,
    });
  if (plain(text) === plain(rows.text(place))) return;
  throw new DataError("inputs-changed", "A correction is of another text than the row's", {
    where,
    expected: plain(rows.text(place)).slice(0, 80),
    found: plain(text).slice(0, 80),
    hint,
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
  const labels = new Map<number, string>();
  for (const file of [files].flat())
    for (const correction of await readCorrections(file, pairColumns !== undefined, loadModule)) {
      check(correction, rows);
      labels.set(correction.place, correction.label);
    }
  const isDropped = (place: number) => labels.get(place) === DROP && !given.includes(DROP);
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
  return { rows: all.select(kept), corrected: { labels: changed, dropped: rows.size - kept.length } };
}
