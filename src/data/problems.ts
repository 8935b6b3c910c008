/** What is wrong with data that was read, or to know of it before it is trained on. */

import { errorParts, type LowrankError, nameList } from "../core/errors.ts";
import { formatCount, formatShare } from "../core/format.ts";
import { groupBy } from "../core/group-by.ts";
import { excerpt, isBlank, joinPair, type TextOrPair } from "../core/pair.ts";
import type { LeftOut } from "../core/places.ts";
import { setting } from "../core/setting.ts";
import { settingsIn } from "../core/surface.ts";
import { brief } from "../document/cells.ts";
import { countOf } from "../io/common.ts";
import { isNumber, labelNotes, settingsOfSeveral } from "../labels/cells.ts";
import type { Splits } from "../tasks/evaluation.ts";
import { TRAINING } from "../tasks/training.ts";
import type { Dataset } from "./dataset.ts";
import type { LoadedDataset } from "./datasets.ts";
import type { CopyStats } from "./duplicates.ts";
import { hasSettingOf } from "./settings.ts";
import type { LoadedTagged } from "./text/tagged.ts";
import { matchData, type TrainingData } from "./training-data.ts";

export interface Problem {
  /** For programs: the code of an error, or a word of this file. */
  code: string;
  /** A sentence, with settings as data. */
  text: string;
  /** Where it is, the first of `count` places: a line, a row, a text with its labels. */
  examples: readonly string[];
  count: number;
  /** The settings that deal with it; none: the data itself has to be changed, if at all. */
  settings: Readonly<Record<string, unknown>>;
  /** Whether the data can be trained on only with these. */
  isNeeded: boolean;
  /** Whether something else may be meant as well as these settings. */
  isGuess?: boolean;
  /** The sheets of a workbook, of which one has to be chosen. */
  sheets?: readonly string[];
  /** The rows that can be left out to deal with it, from 1, as in a review.csv. */
  surplus?: readonly { row: number; text: TextOrPair }[];
}

/** Examples of a problem, rows that are named of one of them, and characters of a text. */
const LISTED = { examples: 20, rows: 5, characters: 80 };
/** A class with fewer rows than this is rare: of ten, one is validated and two are tested. */
const RARE = 10;

/** What is said of texts of which the model's tokenizer makes its unknown token. */
export const UNREAD =
  "texts are mostly letters that no token of the base model has: choose one that reads their script";

/** A problem, and all places where it is. */
export function problem(
  code: string,
  text: string,
  { places = [], settings = {}, isNeeded = false }: { places?: readonly string[] } & Partial<Problem> = {},
): Problem {
  return { code, text, examples: places.slice(0, LISTED.examples), count: places.length, settings, isNeeded };
}

/** An error of the data, with the settings that its hint names. */
export function asProblem(error: LowrankError): Problem {
  const { summary, details } = errorParts(error);
  const { where, found, hint = "", sheets, isGuess = false } = details;
  const text = found === undefined ? summary : `${summary} (${found})`;
  const places = where === undefined ? [] : [where];
  const asked = problem(error.code, text, { places, settings: settingsIn(hint), isNeeded: true });
  return { ...asked, isGuess, ...(sheets ? { sheets } : {}) };
}

/** Settings that say what the data is, not what is to be done with it. */
const OF_READING = ["encoding", "sheet", "textColumn", "labelColumn", "labelSeparator", "objective"];

/** Whether a problem has one way out alone, that does not change what is learned from. */
export const isCertain = ({ settings, isGuess = false }: Problem): boolean =>
  !isGuess && Object.keys(settings).every((name) => OF_READING.includes(name));

/** The problems of data; `context`: the tokens that the model reads at most. */
export function findProblems(data: TrainingData, context: number): Problem[] {
  return matchData(data, {
    text: (messages) => [
      ...invalidRows(messages.stats.leftOut),
      ...emptyTexts(messages),
      ...unknownLetters(messages),
      ...conflicts(messages),
      ...copies(messages),
      ...rareLabels(messages),
      ...labelProblems(messages),
      ...cutRows(messages, context, ...lostTokens(messages)),
    ],
    word: (tagged) => [...emptyRows(tagged), ...copies(tagged), ...cutRows(tagged, context, "sentences")],
    nothing: (texts) => [...emptyRows(texts), ...cutRows(texts, context, "completions with their prompts")],
  });
}

const unknownLetters = ({ stats: { unread } }: LoadedDataset): Problem[] =>
  unread > 0 ? [problem("unknown-letters", `${formatCount(unread)} ${UNREAD}`)] : [];

/** The rows that were skipped, by what is wrong with them. */
function invalidRows({ rows, rowErrors }: LeftOut): Problem[] {
  const needed = { settings: { skipFaulty: true }, isNeeded: true };
  const found = [...groupBy(rowErrors, ({ code }) => code)].map(([code, errors]) => {
    const [summary] = errors[0]!.message.split("\n");
    const places = errors.map(({ details }) => details.where ?? "");
    return problem(code, `${countOf(errors, "invalid row")}: ${summary}`, { ...needed, places });
  });
  const more = rows - rowErrors.length;
  return more > 0 ? [...found, problem("invalid-rows", `${formatCount(more)} more invalid rows`, needed)] : found;
}

/** A row: its set, and its position there. */
interface PlacedRow {
  set: Dataset;
  position: number;
}

const placeRows = (sets: readonly Dataset[]): PlacedRow[] =>
  sets.flatMap((set) => Array.from(set.positions(), (position) => ({ set, position })));

/** The rows of each text that has several labels; texts are equal but for the white space around them. */
function findConflicts(sets: readonly Dataset[], labelsOf: (row: PlacedRow) => string): PlacedRow[][] {
  const all = placeRows(sets);
  const firsts = sets.flatMap((set) => [...set.firstCopies()]);
  const alike = [...groupBy(all.keys(), (row) => firsts[row]).values()].map((rows) => rows.map((row) => all[row]!));
  const trimmed = (row: PlacedRow) => JSON.stringify([textOf(row)].flat().map((text) => text.trim()));
  return alike
    .flatMap((rows) => (rows.length > 1 ? [...groupBy(rows, trimmed).values()] : []))
    .filter((rows) => new Set(rows.map(labelsOf)).size > 1);
}

const setsOf = ({ train, val, test }: LoadedDataset) => [train, val, test];
const textOf = ({ set, position }: PlacedRow) => set.text(position);
const labelOf = ({ set, position }: PlacedRow) => set.label(position);
const placeOf = ({ set, position }: PlacedRow) => set.place(position);
const nameRow = (row: PlacedRow) => `row ${formatCount(placeOf(row) + 1)}`;
const surplusOf = (rows: readonly PlacedRow[]) => rows.map((row) => ({ row: placeOf(row) + 1, text: textOf(row) }));
const inOrder = (rows: readonly PlacedRow[]) => rows.toSorted((a, b) => placeOf(a) - placeOf(b));

function emptyTexts(data: LoadedDataset): Problem[] {
  const rows = inOrder(placeRows(setsOf(data)).filter((row) => isBlank(textOf(row))));
  if (rows.length === 0) return [];
  const places = rows.map(nameRow);
  const text = `${countOf(places, "empty text")}: learned as an empty message, unless you remove the row`;
  return [{ ...problem("empty-text", text, { places }), surplus: surplusOf(rows) }];
}

/** Equal texts with different labels. */
function conflicts(data: LoadedDataset): Problem[] {
  const { labelsOf } = TRAINING[data.objective].labels;
  const groups = findConflicts(setsOf(data), ({ set, position }) => labelsOf(set, position).join()).filter(
    ([first]) => !isBlank(textOf(first!)),
  );
  if (groups.length === 0) return [];
  const text = `${countOf(groups, "text")} with different labels in equal rows: correct them, or keep the first row of each`;
  const places = groups.map((rows) => describeConflict(inOrder(rows)));
  const found = problem("conflicting-labels", text, { places, settings: { dedupe: true } });
  return [{ ...found, surplus: surplusOf(groups.flatMap((rows) => inOrder(rows).slice(1))) }];
}

/** `"How do I pay?": billing (row 3), sales (row 7, row 9)` */
function describeConflict(rows: readonly PlacedRow[]): string {
  const shown = brief(joinPair(excerpt(textOf(rows[0]!), LISTED.characters)));
  const labels = [...groupBy(rows, labelOf)].map(([label, some]) => {
    const more = some.length > LISTED.rows ? `, ${some.length - LISTED.rows} more` : "";
    const name = brief(rows[0]!.set.labels[label]!) || "no label";
    return `${name} (${some.slice(0, LISTED.rows).map(nameRow).join(", ")}${more})`;
  });
  return `"${shown}": ${labels.join(", ")}`;
}

function copies({ objective, stats }: LoadedDataset | LoadedTagged): Problem[] {
  const settings = hasLeaks(stats) && hasSettingOf(objective, "dedupe") ? { dedupe: true } : {};
  return describeCopies(stats).map((text) => problem("near-duplicates", text, { settings }));
}

const countRows = ({ train, val, test }: Splits<{ rows: number }>) => train.rows + val.rows + test.rows;
export const hasLeaks = ({ leaks }: CopyStats) => leaks.val + leaks.test > 0;

/** "236 of 260 rows are near-duplicates of 24 texts: each is in one set with its copies"; nothing where none are. */
export function describeCopies(stats: Splits<{ rows: number }> | (CopyStats & Splits<{ rows: number }>)): string[] {
  if (!("leaks" in stats) || stats.nearDuplicates.rows === 0) return [];
  const { rows, texts } = stats.nearDuplicates;
  const [all, val, test] = [countRows(stats), stats.leaks.val, stats.leaks.test].map(formatCount);
  const are = rows === 1 ? "is a near-duplicate" : "are near-duplicates";
  const what = `${formatCount(rows)} of ${all} rows ${are} of ${texts === 1 ? "one text" : `${formatCount(texts)} texts`}`;
  return hasLeaks(stats)
    ? [`${what}: ${val} validation and ${test} test rows have one in an earlier set, which makes the test too easy`]
    : [`${what}: each is in one set with its copies`];
}

function rareLabels(data: LoadedDataset): Problem[] {
  const rare = Object.entries(data.stats.classesRead).filter(([, rows]) => rows > 0 && rows < RARE);
  if (rare.length === 0) return [];
  const shown = nameList(rare.map(([label, rows]) => `"${brief(label)}" (${rows})`));
  const text = `${countOf(rare, "label")} with fewer than ${RARE} rows, too few to learn and to measure: ${shown}`;
  return [problem("rare-labels", text)];
}

/** Labels that are written in several ways, too many, or of another kind. */
function labelProblems(data: LoadedDataset): Problem[] {
  const { classesRead: rows, combined } = data.stats;
  const labels = Object.keys(rows);
  const found = labelNotes(rows).map((text) => problem("doubtful-labels", text));
  if (combined) {
    const shown = nameList(combined.labels.map((label) => `"${brief(label)}"`));
    const text = `${countOf(combined.labels, "label")} that look like several in one: ${shown}`;
    found.push(problem("combined-labels", text, { settings: settingsIn(settingsOfSeveral(combined)) }));
  }
  if (labels.length > 2 && labels.every(isNumber))
    found.push(
      problem("numeric-labels", "the labels are numbers, and are learned as classes: are they scores?", {
        settings: settingsIn(setting("objective", "regression")),
      }),
    );
  return found;
}

/** Documents or sentences that have no words. */
function emptyRows({ stats: { empty } }: Exclude<TrainingData, LoadedDataset>): Problem[] {
  return empty === 0 ? [] : [problem("empty-text", `${formatCount(empty)} without text, which are skipped`)];
}

/** What is beyond the longest row that is read, of which `lost` says more. */
function cutRows({ maxLength, stats }: TrainingData, context: number, what: string, lost = "", longest = context) {
  const cut = stats.train.cut + stats.val.cut + stats.test.cut;
  if (cut === 0) return [];
  const settings = maxLength < context ? { maxLength: Math.min(longest, context) } : {};
  const text = `${formatCount(cut)} ${what} have more than ${formatCount(maxLength)} tokens${lost}`;
  return [problem("too-long", text, { settings })];
}

/** How many tokens of messages are not read. */
function lostTokens(data: LoadedDataset) {
  const lengths = setsOf(data).flatMap((set) => [...set.fullLengths]);
  const [longest, all, read] = lengths.reduce(
    ([most, all, read], length) => [Math.max(most, length), all + length, read + Math.min(data.maxLength, length)],
    [0, 0, 0],
  ) as [number, number, number];
  const lost = `, up to ${formatCount(longest)}: ${formatShare(1 - read / all)} of all tokens are not read`;
  return [`of ${formatCount(lengths.length)} texts`, lost, longest] as const;
}
