/** A run as blocks: what it has reached, from its record alone. */

import { type Block, note, text } from "../document/blocks.ts";
import type { RunRecord } from "../run/record.ts";
import { WORDS } from "../tasks/words.ts";
import { baselinesTable, beforeAndAfter } from "./run-tables.ts";
import { describeNotes, describeRun } from "./verdicts.ts";

/** What a run has done, and its results. */
export function runBlocks(record: RunRecord): Block[] {
  return [text(describeRun(record)), ...resultBlocks(record)];
}

/**
 * The results of a run, with what to know about them; nothing of one that was not measured on the test set. `advises`:
 * whether notes say what to try.
 */
export function resultBlocks(record: RunRecord, { advises = true } = {}): Block[] {
  const { results, objective } = record;
  if (!results) return [];
  return [
    beforeAndAfter(record, results),
    ...baselinesTable(record, results),
    ...(WORDS[objective].blocks?.(record, results) ?? []),
    ...[...describeNotes(record, advises), ...aboutOneSeed(record)].map(note),
  ];
}

/** What the intervals of a run do not show; the report of a study says it of its trials. */
function aboutOneSeed({ trial, results }: RunRecord): string[] {
  if (trial || (results?.test.compared.length ?? 0) < 2) return [];
  return [
    "One seed: the intervals are those of the test rows alone. Another seed moves the result, too: a run with several seeds says by how much.",
  ];
}
