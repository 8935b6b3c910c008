/** What is known of data before anything is trained on it: how it is read, what is wrong with it, how to train on it. */

import { textContext } from "../config.ts";
import type { DatasetOptions } from "../data/dataset-options.ts";
import { findProblems, type Problem, problem } from "../data/problems.ts";
import { hasSettingOf } from "../data/settings.ts";
import { type CheckedColumn, checkColumns, likeliestColumns, type TableSample } from "../data/table/checked-columns.ts";
import { WRITTEN } from "../data/table/column-names.ts";
import { isOnlyTable } from "../data/table/dialect.ts";
import { looksTagged, recognizeLabels } from "../data/table/label-kinds.ts";
import { settingsOfSeveral } from "../data/table/labels.ts";
import type { LoadedTagged } from "../data/text/tagged.ts";
import { isLabelled, type TrainingData } from "../data/training-data.ts";
import { ConfigError, DownloadError, errorParts, LowrankError } from "../errors.ts";
import { formatCount } from "../format.ts";
import type { BaseModel } from "../io/hf.ts";
import { methodConfig } from "../methods/training.ts";
import { joinPair } from "../pair.ts";
import { settingsIn } from "../surface.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { objectiveWith, TRAINING } from "../tasks/training.ts";
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
  load(source: DataSource, model: BaseModel, onColumns: DatasetOptions["onColumns"]): Promise<TrainingData>;
}

/** What is loaded, and the beginning of the table that it was loaded from, also where that failed. */
class Reading {
  /** Null: it is no table. */
  table: TableSample | null = null;

  constructor(
    private readonly given: RunSettings,
    private readonly tools: CheckTools,
  ) {}

  /** Invalid rows are skipped, so that all of them are found. */
  async load(): Promise<Readable> {
    const { complete, openModel, load } = this.tools;
    const settings = complete(this.given);
    const { objective = DEFAULT_OBJECTIVE } = settings;
    const model = await openModel(settings.model!);
    const skips = hasSettingOf(objective, "skipFaulty") ? { skipFaulty: true } : {};
    const loadTable = (source: DataSource) =>
      load(source, model, (names, rows) => {
        // Of Parquet the columns are found twice: first among all of them.
        this.table ??= { names, rows };
      });
    return { model, ...(await resolveSettings({ ...settings, ...skips }, model, undefined, loadTable)) };
  }

  /** Its rows and its columns, with what each is read as, unless that is open. */
  async describeTable(data: TrainingData | null): Promise<Pick<DataCheck, "columns" | "rows">> {
    if (!this.table) return { columns: [], rows: [] };
    const { objective = DEFAULT_OBJECTIVE } = data ?? this.given;
    const { labels: labelsAre } = TRAINING[objective];
    const unread = () => checkColumns(this.table!, null);
    const columns = await (labelsAre ? checkColumns(this.table, { ...this.given, labelsAre }).catch(unread) : unread());
    return { columns, rows: this.table.rows };
  }
}

/**
 * Reads data as a run would, with more settings each time that it is refused: those that the error names, or another
 * task. So what it says is what a run says, and a run with these settings reads the data.
 */
export async function checkData(given: RunSettings, tools: CheckTools): Promise<DataCheck> {
  const problems: Problem[] = [];
  let settings = given;
  /** Takes the settings of a problem that are new; returns whether there are some. */
  const take = (found: Problem): boolean => {
    const fresh = Object.entries(found.settings).filter(
      ([name, value]) =>
        given[name as keyof RunSettings] === undefined &&
        JSON.stringify(settings[name as keyof RunSettings]) !== JSON.stringify(value),
    );
    problems.push({ ...found, settings: Object.fromEntries(fresh) });
    settings = { ...settings, ...Object.fromEntries(fresh) };
    return fresh.length > 0;
  };
  for (;;) {
    const reading = new Reading(settings, tools);
    try {
      const readable = await reading.load();
      const other = given.objective
        ? null
        : (otherTask(readable.data) ?? (await readAsSentences(settings, readable.data, tools)));
      if (other && take(other)) continue;
      const context = textContext(readable.model.config, methodConfig(readable.options));
      const found = findProblems(readable.data, context);
      for (const { settings: some, isNeeded } of found) if (isNeeded) settings = { ...settings, ...some };
      const table = await reading.describeTable(readable.data);
      const all = [...problems, ...(given.objective ? [] : couldBeWritten(table.columns)), ...found];
      return { ...table, settings, problems: all, readable, error: null };
    } catch (error) {
      if (!isOfData(error)) throw error;
      const found = withColumns(asProblem(error), reading.table, settings);
      const other = hasSettings(found) || given.objective ? null : await readAnotherWay(settings, found, tools);
      // Another base model is downloaded, which is for the user to begin.
      const needsModel = other?.settings.model !== undefined && given.model === undefined;
      if (!take(other ?? found) || needsModel)
        return { ...(await reading.describeTable(null)), settings, problems, readable: null, error };
    }
  }
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
  const likely = table && OPEN_COLUMNS.includes(found.code) ? likeliestColumns(table, settings) : {};
  return Object.keys(likely).length > 0 ? { ...found, settings: likely } : found;
}

/** An error of the data, with the settings that its hint names. */
export function asProblem(error: LowrankError): Problem {
  const { summary, details } = errorParts(error);
  const { where, found, hint = "", sheets } = details;
  const text = found === undefined ? summary : `${summary} (${found})`;
  const places = where === undefined ? [] : [where];
  const asked = problem(error.code, text, { places, settings: settingsIn(hint), isNeeded: true });
  return sheets ? { ...asked, sheets } : asked;
}

/** What is to be learned of messages whose labels are no classes: scores, several labels, tags of words. */
function otherTask(data: TrainingData): Problem | null {
  if (!isLabelled(data) || TRAINING[data.objective].labels !== "class") return null;
  const rows = Object.entries(data.stats.classesRead);
  const learn = (code: string, what: string, settings: Problem["settings"]) =>
    problem(code, `the labels are ${what}`, { settings, isNeeded: true });
  if (looksTagged(data.labels.map((label) => `word ${label}`).join("\n")))
    return learn("tags", "tags of words", { objective: objectiveWith("tags") });
  const { labelsAre, why, separator, decimalSign } = recognizeLabels(
    rows.flatMap(([label, count]) => new Array<string>(count).fill(label)),
  );
  if (decimalSign) return learn("scores", `scores: ${why}`, { objective: objectiveWith(labelsAre) });
  if (separator === undefined) return null;
  const settings = settingsIn(settingsOfSeveral({ labels: [], separator }));
  return learn("several-labels", `several in one: ${why}`, settings);
}

/** Labels that are learned as classes, though their rows have the keys of texts that are written. */
function couldBeWritten(columns: readonly CheckedColumn[]): Problem[] {
  const label = columns.find(({ readAs }) => readAs === "label");
  const keys = WRITTEN.find((one) => one[1] === label?.name && columns.some(({ name }) => name === one[0]));
  if (!label || !keys) return [];
  const text =
    `the rows look like instructions: "${keys[1]}", which has ${formatCount(label.distinct)} different values, is learned as ` +
    `a class of "${keys[0]}"; a language model learns to write it`;
  return [problem("instructions", text, { settings: { objective: objectiveWith(null) } })];
}

/** Single words with tags that are not marked as such, in a table whose sentences have blank lines between them. */
async function readAsSentences(given: RunSettings, data: TrainingData, tools: CheckTools): Promise<Problem | null> {
  if (!isLabelled(data) || TRAINING[data.objective].labels !== "class") return null;
  const { train } = data;
  if (!Array.from(train.positions(), (i) => joinPair(train.text(i))).every((text) => /^\S*$/.test(text))) return null;
  const found = await readTagged(given, tools).catch(() => null);
  const { words, rows } = found?.stats.train ?? { words: 0, rows: 1 };
  if (!found || words < SENTENCE.least * rows || words > SENTENCE.most * rows) return null;
  const text = "the texts are single words, with a blank line behind each sentence: the labels are tags of words";
  return problem("tags", text, { settings: { objective: found.objective }, isNeeded: true });
}

/** The data as sentences with tags; null: it has too few words for each of them. */
async function readTagged(given: RunSettings, tools: CheckTools): Promise<LoadedTagged | null> {
  const objective = objectiveWith("tags");
  const data = (await new Reading({ ...given, objective }, tools).load()).data as LoadedTagged;
  return data.stats.train.words < WORDS_A_TAG * data.labels.length ? null : data;
}

/** Words for each tag where they are tags. */
const WORDS_A_TAG = 10;
/** Words of a sentence on average, where lines are no texts by themselves: a file without blank lines is one sentence. */
const SENTENCE = { least: 2, most: 100 };

/** Reads what is no table of texts and labels as sentences with tags, or as texts. */
async function readAnotherWay(given: RunSettings, { code }: Problem, tools: CheckTools): Promise<Problem | null> {
  if (isOnlyTable([given.data ?? given.train ?? ""].flat()[0] ?? "")) return null;
  for (const labels of ["tags", null] as const) {
    const objective = objectiveWith(labels);
    try {
      if (labels === null) await new Reading({ ...given, objective }, tools).load();
      else if (!(await readTagged(given, tools))) continue;
      const what = labels === null ? "texts for a language model" : "sentences with a tag for each word";
      const text = `there is no column of texts with one of labels: these are ${what}`;
      return problem(code, text, { settings: { objective }, isNeeded: true });
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      // Of chats, a model that can learn them.
      const other = asProblem(error);
      if (labels === null && hasSettings(other)) return { ...other, settings: { objective, ...other.settings } };
    }
  }
  return null;
}
