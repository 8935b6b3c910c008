/** Data before it is trained on, as blocks. */

import { digits, formatCount, formatDuration, joinWords } from "../core/format.ts";
import { setting } from "../core/setting.ts";
import { LISTED_CLASSES } from "../core/statistics.ts";
import type { Problem } from "../data/problems.ts";
import type { CheckedColumn } from "../data/table/checked-columns.ts";
import type { TrainingData } from "../data/training-data.ts";
import { type Block, code, heading, makeTable, text } from "../document/blocks.ts";
import { brief } from "../document/cells.ts";
import { formatBytes } from "../plan/memory.ts";
import { WORDS } from "../tasks/words.ts";
import type { TrialEstimate } from "../train/estimate.ts";

/** Examples of a problem that are shown: programs get more. */
const SHOWN = 5;
const SHOWN_COLUMNS = 50;
/** An example with at most so many characters is a place, and stands in a line with others. */
const LONGEST_PLACE = 48;

interface Checked {
  columns: readonly CheckedColumn[];
  problems: readonly Problem[];
  readable: { data: TrainingData } | null;
}

/** The report of `checkData`, and how long a trial of it takes. */
export function checkBlocks({ columns, problems, readable }: Checked, estimate: TrialEstimate | null): Block[] {
  const [needed, others] = [true, false].map((isNeeded) => problems.filter((problem) => problem.isNeeded === isNeeded));
  const part = (title: string, listed: readonly Problem[]) =>
    listed.length > 0 ? [heading(title), ...listed.flatMap(problemBlocks)] : [];
  return [
    ...(columns.length > 0 ? [columnsTable(columns)] : []),
    ...(readable ? describeData(readable.data).map(text) : []),
    ...part(readable ? "The command below deals with:" : "It cannot be trained on as it is:", needed!),
    ...part("To know (rows are counted without the header and invalid ones):", others!),
    ...(problems.length === 0 ? [text("no problems found")] : []),
    ...(estimate ? [text(describeCosts(estimate))] : []),
  ];
}

/** The columns in the file's order; of very many those that are read come first. */
const columnsTable = (columns: readonly CheckedColumn[]) => ({
  shown: SHOWN_COLUMNS,
  ...makeTable<CheckedColumn>(
    "columns",
    `Columns, by ${formatCount(columns[0]!.rows)} of the rows`,
    [
      { title: "Column", key: "column", value: ({ name }) => name },
      { title: "Read as", key: "read_as", value: ({ readAs }) => readAs ?? "" },
      { title: "Has", key: "kind", value: ({ kind }) => kind },
      { title: "Filled", key: "filled", format: formatCount, value: ({ filled }) => filled },
      { title: "Different", key: "distinct", format: formatCount, value: ({ distinct }) => distinct },
      { title: "Mean length", key: "mean_length", format: digits(1), value: ({ meanLength }) => meanLength },
    ],
    columns.length > SHOWN_COLUMNS ? columns.toSorted((a, b) => Number(!a.readAs) - Number(!b.readAs)) : columns,
  ),
});

/** The task, its rows and their length. */
function describeData(data: TrainingData): string[] {
  const { labels, stats, source, maxLength, objective } = data;
  const sets = [stats.train, stats.val, stats.test];
  const rows = sets.reduce((sum, set) => sum + set.rows, 0);
  const tokens = sets.reduce((sum, set) => sum + set.tokens, 0);
  const what = WORDS[objective].choice ?? "texts to continue";
  const counts = "classesRead" in stats ? stats.classesRead : {};
  const listed = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const named = listed.slice(0, LISTED_CLASSES).map(([name, count]) => `${brief(name)} ${formatCount(count)}`);
  const more = listed.length > named.length ? `, ${listed.length - named.length} more` : "";
  return [
    `data: ${source}, ${formatCount(rows)} ${WORDS[objective].units.rows}`,
    ...(data.chosen ? [data.chosen] : []),
    `task: ${what}${labels.length > 1 ? ` (${labels.length}${named.length > 0 ? `: ${named.join(", ")}${more}` : ""})` : ""}`,
    ...[WORDS[objective].reads?.(labels) ?? []].flat(),
    `length: ${(tokens / rows).toFixed(1)} tokens a row of at most ${formatCount(maxLength)}`,
  ];
}

function problemBlocks({ text: what, settings, examples, count }: Problem): Block[] {
  const flags = joinWords(Object.entries(settings).map(([name, value]) => setting(name, value)));
  const shown = examples.slice(0, SHOWN);
  const more = count > shown.length ? [`${formatCount(count - shown.length)} more`] : [];
  const arePlaces = shown.every(({ length }) => length <= LONGEST_PLACE);
  const places = arePlaces && shown.length > 0 ? ` (${[...shown, ...more].join(", ")})` : "";
  return [
    text(`- ${what}${places}${flags === "" ? "" : ` -> ${flags}`}`),
    ...(arePlaces ? [] : [...shown, ...more].map((place) => text(`> ${place}`))),
  ];
}

const describeCosts = ({ device, bytes, seconds }: TrialEstimate) =>
  `training takes ${formatBytes(bytes)}, and about ${formatDuration(seconds)} on ${device} (a few steps were timed)`;

export const commandBlocks = (command: string): Block[] => [text("train on it:"), code(command)];
