/** Corrected labels: the rows of a review of labels (review.csv) whose column "correct label" somebody has filled. */
import { isWithin } from "../../core/checks.ts";
import { DataError, nameList } from "../../core/errors.ts";
import { excerpt, joinPair } from "../../core/pair.ts";
import { LIST_SEPARATOR, placeOf, ROWS } from "../../core/places.ts";
import { isSameCell } from "../../core/quote.ts";
import { findLabel } from "../../labels/cells.ts";
import { SET } from "../../labels/set.ts";
import { CHUNK_BYTES, Corpus, type ReadOptions } from "../corpus.ts";
import type { Dataset } from "../dataset.ts";
import type { Files } from "../settings.ts";
import { type Correction, unknownLabels } from "../table/label-faults.ts";
import type { DataModule } from "../wasm.ts";
import { type Corrected, readSource } from "./source.ts";

/** The columns of a review that are read. */
export const REVIEW = { row: "row", texts: ["text", "text_pair"], correct: "correct label" } as const;

/** Instead of a label: the row is left out. */
export const DROP = "drop";
/** Before a label that the data does not have, once in the column. */
const NEW = /^new:\s*(?=\S)/i;

async function readCorrections(
  file: string,
  hasPairs: boolean,
  loadModule: () => Promise<DataModule>,
): Promise<Correction[]> {
  const textColumn = hasPairs ? REVIEW.texts.join() : REVIEW.texts[0];
  const labelColumn = `${REVIEW.row},${REVIEW.correct}`;
  const corpus = new Corpus(await loadModule());
  const read = { labelsAre: SET, maxLength: 1, chunkBytes: CHUNK_BYTES, textColumn, labelColumn } as const;
  const set = await readSource(corpus, file, read);
  return Array.from(set.positions(), (i) => {
    const [row, label = ""] = set.labels[set.label(i)]!.split(LIST_SEPARATOR);
    return {
      place: Number(row) - 1,
      text: set.text(i),
      label: label.trim(),
      file,
      line: corpus.labelLines[set.label(i)]!,
    };
  }).filter(({ label }) => label !== "");
}

/** Throws DataError for a correction of a row that is not there, or that has another text. */
function check({ place, text, file, line }: Correction, rows: Dataset): void {
  const own = isWithin(place, { min: 0, max: rows.size - 1, whole: true }) ? rows.text(place) : null;
  if (own !== null && isSameCell(text, own)) return;
  throw new DataError("inputs-changed", "A correction is of another text", {
    where: placeOf(file, line),
    expected: own === null ? `a row from 1 to ${rows.size}` : joinPair(excerpt(own, 80)),
    found: `row ${place + 1}: ${joinPair(excerpt(text, 80))}`,
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
  const lists = [files].flat().map((file) => readCorrections(file, pairColumns !== undefined, loadModule));
  const corrections = (await Promise.all(lists)).flat();
  const where = nameList([files].flat());
  if (corrections.length === 0) throw new DataError("no-labels", `The column "${REVIEW.correct}" is empty`, { where });
  for (const one of corrections) check(one, rows);
  const news = corrections.flatMap(({ label }) => (NEW.test(label) ? label.replace(NEW, "") : []));
  const added = [...new Set(news)].filter((label) => !findLabel(label, given));
  /** Null: the row is left out; undefined: there is no such label. Scores, and sets of labels, may be new. */
  const meant = (cell: string) =>
    findLabel(given.includes(cell) ? cell : cell.replace(NEW, ""), [...given, ...added]) ??
    (isSameCell(cell, DROP) ? null : read.labelsAre.classOf ? undefined : cell);
  const unknown = corrections.filter(({ label }) => meant(label) === undefined);
  if (unknown.length > 0) throw unknownLabels(unknown, given);
  const labels = new Map(corrections.map(({ place, label }) => [place, meant(label)]));
  const isDropped = (place: number) => labels.get(place) === null;
  const kept = [...rows.positions()].filter((place) => !isDropped(place));
  if (kept.length === 0) throw new DataError("no-rows", "All rows are left out", { where });
  const labelOf = (place: number) => labels.get(place) ?? given[rows.label(place)]!;
  // A row that is left out keeps its place, and adds no class.
  const line = (place: number) => labelOf(isDropped(place) ? kept[0]! : place);
  const [textName, secondName] = pairColumns ?? ["text"];
  const cellRows = Array.from(rows.positions(), (place) => {
    const [text, ...second] = [rows.text(place)].flat();
    return { number: place + 1, cells: [text!, line(place), ...second] };
  });
  const changed = kept.filter((place) => labelOf(place) !== given[rows.label(place)]).length;
  corpus.clear();
  const found = { textName, secondName, labelName: corpus.labelColumn };
  const all = await readSource(corpus, { name: ROWS, found, rows: [cellRows] }, read);
  return { rows: all.select(kept), corrected: { labels: changed, dropped: rows.size - kept.length, added } };
}
