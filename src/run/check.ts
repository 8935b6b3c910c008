/**
 * What is known of data before anything is trained on it: how it is read, what is wrong with it, how to train on it.
 */

import { textContext } from "../core/config.ts";
import { ConfigError, DownloadError, LowrankError } from "../core/errors.ts";
import { formatCount } from "../core/format.ts";
import { joinPair } from "../core/pair.ts";
import { settingsIn } from "../core/surface.ts";
import type { DatasetOptions } from "../data/dataset-options.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { asProblem, findProblems, type Problem, problem } from "../data/problems.ts";
import { hasSettingOf } from "../data/settings.ts";
import { type CheckedColumn, checkColumns, likeliestColumns } from "../data/table/checked-columns.ts";
import type { TableSample } from "../data/table/column-facts.ts";
import { WRITTEN } from "../data/table/column-names.ts";
import { isOnlyTable } from "../data/table/dialect.ts";
import type { LoadedTagged } from "../data/text/tagged.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { BaseModel } from "../io/hf.ts";
import { LABELS } from "../labels/index.ts";
import { NONE } from "../labels/none.ts";
import { SCORE } from "../labels/score.ts";
import { TAGS } from "../labels/tags.ts";
import { methodConfig } from "../methods/training.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { objectiveWith } from "../tasks/training.ts";
import type { RunSettings, TrainOptions } from "../train/settings.ts";
import { type DataSource, resolveSettings } from "./load-data.ts";

export interface Readable {
  model: BaseModel;
  data: TrainingData;
  options: TrainOptions;
}

export interface DataCheck {
  /** Of a table; none: the data is no table. */
  columns: CheckedColumn[];
  /** Some rows of these columns, the first ones first. */
  rows: TableSample["rows"];
  /** Those that were given, and what the data needs besides. */
  settings: RunSettings;
  problems: Problem[];
  /** null: it cannot be trained on; the last problem says why, and `error` as a run would. */
  readable: Readable | null;
  error: LowrankError | null;
}

export interface CheckTools {
  /** Completes settings, as a run does. */
  complete(settings: RunSettings): RunSettings;
  openModel(name: string): Promise<BaseModel>;
  load(source: DataSource, model: BaseModel, onTable: DatasetOptions["onTable"]): Promise<TrainingData>;
}

/** Reads data with some settings. `onTable` describes a table, also where reading then fails. */
type Read<R> = (settings: RunSettings, onTable: DatasetOptions["onTable"]) => Promise<R>;

/** What was read, with which settings. */
interface AsMeant<R> {
  settings: RunSettings;
  /** Why other settings were needed than those that were given, with the settings that were taken; last the error. */
  problems: Problem[];
  /** The beginning of the table; null: it is no table. */
  table: TableSample | null;
  read: R | null;
  error: LowrankError | null;
}

/**
 * Reads data as it is meant: with more settings each time that it is refused, those that the error names, or another
 * task. Those that were given stay. `mayTake`: whether the settings of a problem may be taken; default: all may.
 */
export async function readAsMeant<R extends { data: TrainingData }>(
  given: RunSettings,
  read: Read<R>,
  mayTake: (found: Problem) => boolean = () => true,
): Promise<AsMeant<R>> {
  const problems: Problem[] = [];
  let settings = given;
  /** Takes the settings of a problem that are new; returns whether there are some. */
  const take = (found: Problem): boolean => {
    const fresh = Object.entries(found.settings).filter(
      ([name, value]) =>
        given[name as keyof RunSettings] === undefined &&
        JSON.stringify(settings[name as keyof RunSettings]) !== JSON.stringify(value),
    );
    if (!mayTake({ ...found, settings: Object.fromEntries(fresh) })) return false;
    problems.push({ ...found, settings: Object.fromEntries(fresh) });
    settings = { ...settings, ...Object.fromEntries(fresh) };
    return fresh.length > 0;
  };
  for (;;) {
    let table: TableSample | null = null;
    const readOther = (asked: RunSettings) => read(asked, undefined);
    try {
      const one = await read(settings, (first) => {
        table ??= first;
      });
      // Where no task is named, classes are read.
      const classes = one.data as LoadedDataset;
      const other = settings.objective
        ? null
        : (otherTask(classes) ?? (await readAsSentences(settings, classes, readOther)));
      if (other && take(other)) continue;
      return { settings, problems, table, read: one, error: null };
    } catch (error) {
      if (!isOfData(error)) throw error;
      const found = withColumns(asProblem(error), table, settings);
      const other = hasSettings(found) || given.objective ? null : await readAnotherWay(settings, found, readOther);
      // Another base model is downloaded, which is for the user to begin.
      const needsModel = other?.settings.model !== undefined && given.model === undefined;
      if (!take(other ?? found) || needsModel) return { settings, problems, table, read: null, error };
    }
  }
}

/** Reads data as a run would, so that what it says is what a run says, and a run with these settings reads the data. */
export async function checkData(given: RunSettings, tools: CheckTools): Promise<DataCheck> {
  // Invalid rows are skipped, so that all of them are found.
  const read: Read<Readable> = async (asked, onTable) => {
    const settings = tools.complete(asked);
    const { objective = DEFAULT_OBJECTIVE } = settings;
    const model = await tools.openModel(settings.model!);
    const skips = hasSettingOf(objective, "skipFaulty") ? { skipFaulty: true } : {};
    const load = (source: DataSource) => tools.load(source, model, onTable);
    return { model, ...(await resolveSettings({ ...settings, ...skips }, model, undefined, load)) };
  };
  const { read: readable, table, problems, error, settings } = await readAsMeant(given, read);
  const columns = table ? checkColumns(table) : [];
  const rows = table?.rows ?? [];
  if (!readable) return { columns, rows, settings, problems, readable, error };
  const found = findProblems(readable.data, textContext(readable.model.config, methodConfig(readable.options)));
  const needed = found.filter(({ isNeeded }) => isNeeded).map((one) => one.settings);
  return {
    ...{ columns, rows, settings: Object.assign({}, settings, ...needed), readable, error },
    problems: [...problems, ...(given.objective ? [] : couldBeWritten(columns)), ...found],
  };
}

const isOfData = (error: unknown): error is LowrankError =>
  error instanceof LowrankError && !(error instanceof ConfigError) && !(error instanceof DownloadError);

const hasSettings = ({ settings }: Problem) => Object.keys(settings).length > 0;

/** Errors of columns: none is recognised, or several may be meant. */
const OPEN_COLUMNS = ["column-not-recognized", "ambiguous-column"];

/** A problem of columns with the likeliest ones, if some may be meant. */
function withColumns(found: Problem, table: TableSample | null, settings: RunSettings): Problem {
  // Whether it is texts is tried: see `readAnotherWay`.
  if (found.code === "too-few-columns") return { ...found, settings: {} };
  // The others may be labels, unless scores are.
  const isOpen = OPEN_COLUMNS.includes(found.code) && found.settings.objective !== objectiveWith(SCORE);
  const likely = table && isOpen ? likeliestColumns(table, settings) : null;
  return likely ? { ...found, ...likely } : found;
}

/** What is to be learned of messages whose labels are no classes: scores, several labels, tags of words. */
function otherTask(data: LoadedDataset): Problem | null {
  for (const kind of LABELS) {
    const found = kind.recognize?.(data.stats.classesRead);
    if (!found) continue;
    const settings = { objective: objectiveWith(kind), ...settingsIn(found.settings) };
    return problem(found.code, `the labels are ${found.why}`, { settings, isNeeded: true });
  }
  return null;
}

/** Labels that are learned as classes, though their rows have the keys of texts that are written. */
function couldBeWritten(columns: readonly CheckedColumn[]): Problem[] {
  const label = columns.find(({ readAs }) => readAs === "label");
  const keys = WRITTEN.find((one) => one[1] === label?.name && columns.some(({ name }) => name === one[0]));
  if (!label || !keys) return [];
  const text =
    `the rows look like instructions: "${keys[1]}", which has ${formatCount(label.distinct)} different values, is learned as ` +
    `a class of "${keys[0]}"; a language model learns to write it`;
  return [problem("instructions", text, { settings: { objective: objectiveWith(NONE) } })];
}

type ReadOther = (settings: RunSettings) => Promise<{ data: TrainingData }>;

/** Single words with tags that are not marked as such, in a table whose sentences have blank lines between them. */
async function readAsSentences(given: RunSettings, { train }: LoadedDataset, read: ReadOther): Promise<Problem | null> {
  if (!Array.from(train.positions(), (i) => joinPair(train.text(i))).every((text) => /^\S*$/.test(text))) return null;
  const found = await readTagged(given, read).catch(() => null);
  const { words, rows } = found?.stats.train ?? { words: 0, rows: 1 };
  if (!found || words < SENTENCE.least * rows || words > SENTENCE.most * rows) return null;
  const text = "the texts are single words, with a blank line behind each sentence: the labels are tags of words";
  return problem("tags", text, { settings: { objective: found.objective }, isNeeded: true });
}

/** The data as sentences with tags; null: it has too few words for each of them. */
async function readTagged(given: RunSettings, read: ReadOther): Promise<LoadedTagged | null> {
  const data = (await read({ ...given, objective: objectiveWith(TAGS) })).data as LoadedTagged;
  return data.stats.train.words < WORDS_A_TAG * data.labels.length ? null : data;
}

/** Words for each tag where they are tags. */
const WORDS_A_TAG = 10;
/**
 * Words of a sentence on average, where lines are no texts by themselves: a file without blank lines is one sentence.
 */
const SENTENCE = { least: 2, most: 100 };

/** Reads what is no table of texts and labels as sentences with tags, or as texts. */
async function readAnotherWay(given: RunSettings, { code }: Problem, read: ReadOther): Promise<Problem | null> {
  if (code === "exceeds-limit" || isOnlyTable([given.data ?? ""].flat()[0] ?? "")) return null;
  for (const labels of [TAGS, NONE]) {
    const objective = objectiveWith(labels);
    try {
      if (labels === NONE) await read({ ...given, objective });
      else if (!(await readTagged(given, read))) continue;
      const what = labels === NONE ? "texts for a language model" : "sentences with a tag for each word";
      const text = `there is no column of texts with one of labels: these are ${what}`;
      // With other columns they may be examples of something else.
      const isGuess = labels === NONE && code !== "too-few-columns";
      return { ...problem(code, text, { settings: { objective }, isNeeded: true }), isGuess };
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      // Of chats, a model that can learn them.
      const other = asProblem(error);
      if (labels === NONE && hasSettings(other)) return { ...other, settings: { objective, ...other.settings } };
    }
  }
  return null;
}
