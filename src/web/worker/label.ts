/** Labels the rows of a table, or pasted lines, in memory: the bytes that `classify --in` writes to the disk. */

import { formatScore } from "../../core/format.ts";
import { excerpt, type TextOrPair } from "../../core/pair.ts";
import { hasCells } from "../../data/table/dialect.ts";
import { labelRows, survey } from "../../infer/table/label-table.ts";
import type { Labeller } from "../../infer/table/labeller.ts";
import { openTable } from "../../infer/table/open-table.ts";
import { csvField } from "../../io/csv.ts";
import { forgetFile, registerFile } from "../../platform/files.ts";
import type { TrainedTexts } from "../../run/trained-texts.ts";
import { TASKS } from "../../tasks/index.ts";
import { answerOf, type Labelled } from "../../tasks/predictions.ts";
import type { LabelReport, LabelRequest } from "../protocol.ts";

export { readTrainedTexts } from "../../run/trained-texts.ts";

const PREVIEW_ROWS = 10;
/** Characters of a text in the preview. */
const PREVIEW_CHARACTERS = 240;

/** The column of pasted lines. */
const PASTED = { name: "messages.csv", textColumn: "text" };

interface Labelling extends LabelRequest, TrainedTexts {
  signal: AbortSignal;
  onProgress: (rows: number, total: number) => void;
}

/** Rejects with the signal's reason when it aborts. */
export async function labelSource(
  labeller: Labeller,
  source: File | string,
  { signal, onProgress, ...asked }: Labelling,
): Promise<LabelReport> {
  const isPasted = typeof source === "string";
  const { name } = isPasted ? PASTED : source;
  const path = `labelling/${name}`;
  registerFile(path, isPasted ? asTable(source) : source);
  // It is found at once.
  const opening = openTable(path, isPasted ? { textColumn: PASTED.textColumn } : asked);
  forgetFile(path);
  const table = await opening;
  try {
    const surveyed = await survey(table, name);
    const { task, labels: all } = labeller.meta;
    // Of tags there is no row: of the types of entities there are, as they come.
    const names = TASKS[task.objective].predicts!.method === "classify" ? all : [];
    const labels: LabelReport["labels"] = Object.fromEntries(names.map((label) => [label, 0]));
    const preview: LabelReport["preview"] = [];
    // A blob for each piece: browsers keep many on the disk.
    const pieces: Blob[] = [];
    let done = 0;
    const onRows = (texts: TextOrPair[], results: (Labelled | null)[]) => {
      signal.throwIfAborted();
      for (const [i, result] of results.entries()) {
        const shown = describeResult(result);
        for (const label of new Set(shown.labels)) labels[label] = (labels[label] ?? 0) + 1;
        if (preview.length < PREVIEW_ROWS) preview.push({ text: excerpt(texts[i]!, PREVIEW_CHARACTERS), ...shown });
      }
      done += results.length;
      onProgress(done, surveyed.rows);
    };
    for await (const piece of labelRows(table, surveyed, labeller, { onRows })) pieces.push(new Blob([piece]));
    return {
      rows: done,
      blank: surveyed.blank,
      labels,
      preview,
      columns: isPasted ? [] : [...new Set(table.names)],
      textColumn: isPasted ? null : table.textColumn,
      file: new Blob(pieces),
      fileName: name.replace(/\.[^.]+$/, (ending) => `-labelled${hasCells(ending) ? ".csv" : ending}`),
    };
  } finally {
    await table.close();
  }
}

/** The labels, how they or the score are shown, and the probability of a label that is the only one. */
function describeResult(result: Labelled | null) {
  if (result === null) return { labels: [], label: "", probability: null };
  const answer = answerOf(result);
  if (typeof answer === "number") return { labels: [], label: formatScore(answer), probability: null };
  const all = [answer].flat();
  const labels = "entities" in result ? result.entities.map(({ label }) => label) : all;
  return {
    labels,
    label: all.join(" | "),
    probability: "probability" in result && !result.labels ? result.probability : null,
  };
}

function asTable(text: string): Blob {
  const lines = text.split(/\r?\n|\r/).filter((line) => line.trim() !== "");
  return new Blob([[PASTED.textColumn, ...lines].map((line) => `${csvField(line)}\r\n`).join("")]);
}
