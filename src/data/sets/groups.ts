/** Groups of rows that belong together, such as those of a customer. */
import { DataError } from "../../errors.ts";
import { setting } from "../../setting.ts";
import type { Corpus, ReadOptions } from "../corpus.ts";
import { type DataSource, readSource } from "./source.ts";
import type { Groups } from "./split.ts";

/**
 * What a column says of each row that was read, by its place; undefined where it says nothing. The file is read once
 * more, into a `corpus` of its own. Throws DataError if rows were skipped the first time.
 */
export async function readGroups(
  corpus: Corpus,
  source: DataSource | readonly DataSource[],
  { labels: _, ...read }: ReadOptions,
  rows: number,
): Promise<Groups> {
  const all = await readSource(corpus, source, { ...read, labelsAre: "set" });
  if (all.size !== rows)
    throw new DataError("inputs-changed", "Rows were skipped, so that it is not known which group a row is of", {
      where: corpus.labelColumn,
      expected: `${all.size} rows with a text and a label`,
      found: String(rows),
      hint: `correct them, and omit ${setting("skipFaulty", true)}`,
    });
  return Array.from({ length: rows }, (_, i) => all.labels[all.label(i)] || undefined);
}
