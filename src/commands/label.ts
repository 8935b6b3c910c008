/** classify --in FILE --out FILE: labels the rows of a table. */

import { canCreate, isSameFile } from "#platform";
import { type Backend, describeDevice } from "../backend/backend.ts";
import { openBackend } from "../backend/device.ts";
import { ClassicModel } from "../classic/model.ts";
import { isClassic } from "../classic/parts.ts";
import { readClassic } from "../classic/read.ts";
import { recognizeUnlike } from "../classic/unlike.ts";
import { isFolder } from "../data/sets/source.ts";
import { ConfigError, nameList } from "../errors.ts";
import { formatCount, joinWords } from "../format.ts";
import { DEFAULT_NAME } from "../infer/adapter-model.ts";
import { Classifier } from "../infer/classifier.ts";
import { Fields } from "../infer/table/label-fields.ts";
import { LabelLimits } from "../infer/table/label-limits.ts";
import { labelTable, refuseExisting, survey, unchangedRows } from "../infer/table/label-table.ts";
import type { Labeller } from "../infer/table/labeller.ts";
import { isWrittenAsCsv, openTable, outputFormat } from "../infer/table/open-table.ts";
import type { Table } from "../infer/table/table.ts";
import { type AdapterMeta, baseDtype } from "../io/peft/adapter-meta.ts";
import { METHODS } from "../methods/index.ts";
import type { TextOrPair } from "../pair.ts";
import { readTrainedTexts, type TrainedTexts } from "../run/trained-texts.ts";
import type { WeightDtype } from "../tensor.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { createProgress, describeRate } from "../views/terminal/progress.ts";
import { calledAs } from "./called.ts";
import { type DeviceFlags, printNote, settle } from "./cli.ts";

export interface TableFlags {
  in?: string;
  out?: string;
  textColumn?: string;
  adapter?: string[];
  adapterColumn?: string;
  encoding?: string;
  order?: "doubt";
  minProbability?: number;
  skipUnlike?: boolean;
  sheet?: string;
  force?: boolean;
}

export interface ModelFlags extends DeviceFlags {
  model?: string;
  dtype?: WeightDtype;
  classic?: boolean;
}

type Paths = Required<Pick<TableFlags, "in" | "out">>;

/**
 * Whether a table is to be labelled into a file. Throws ConfigError for flags that do not go together. `texts` and
 * `json`: there are texts, or --json, together with the flags of a table.
 */
export function isTable(flags: TableFlags, texts: boolean, json: boolean): flags is TableFlags & Paths {
  const { in: input, out: output, textColumn, adapterColumn, encoding, sheet, order, force } = flags;
  if (input !== undefined && output !== undefined && !texts && !json) return true;
  const [ofInput, ofOutput] = [
    textColumn ?? encoding ?? sheet,
    output ?? adapterColumn ?? order ?? (force || undefined),
  ];
  if (ofOutput === undefined && (input === undefined ? ofInput === undefined : !texts)) return false;
  throw new ConfigError("options-conflict", "the flags do not go together", {
    expected:
      "--in FILE, with --text-column, --sheet and --encoding where needed, and no texts; " +
      "and --out FILE for its rows, with --adapter-column, --order and --force where needed, and no --json",
    hint: `${calledAs("classify")} --run DIR --in messages.csv --out labelled.csv`,
  });
}

/** Opens the table of --in. Its texts are in the --text-column of the models' training, if it has that column. */
async function openInput(
  input: string,
  directories: Iterable<string>,
  { textColumn, adapterColumn, encoding, sheet }: TableFlags,
): Promise<Table> {
  const trained = await Promise.all([...directories].map(readTrainedTexts));
  const common = <K extends keyof TrainedTexts>(key: K): TrainedTexts[K] =>
    new Set(trained.map(({ [key]: value }) => value)).size === 1 ? trained[0]![key] : undefined;
  const [likelyTextColumn, isPair] = [common("likelyTextColumn"), common("isPair")];
  return openTable(input, { textColumn, likelyTextColumn, adapterColumn, isPair, encoding, sheet });
}

/** The texts of --in, some at a time, once the whole table has been checked. */
export async function tableTexts(
  input: string,
  model: string,
  flags: TableFlags,
): Promise<AsyncIterable<TextOrPair[]>> {
  const table = await openInput(input, [model], flags);
  const surveyed = await survey(table, input);
  printNote(`${input}: ${surveyed.rows} rows, texts in column "${table.textColumn}"`);
  async function* texts() {
    try {
      for await (const rows of unchangedRows(table, surveyed))
        yield rows.flatMap(({ text }) => (text === null ? [] : [text]));
    } finally {
      await table.close();
    }
  }
  return texts();
}

/** Throws ConfigError if the output cannot be written, is the input, or exists, unless --force replaces it. */
async function refuseOutput({ in: input, out: output, force = false }: Paths & TableFlags): Promise<void> {
  const format = outputFormat(input);
  if (outputFormat(output) !== format || isWrittenAsCsv(output))
    throw new ConfigError("invalid-output", "--out has another format than --in", {
      where: output,
      expected: `a name that ends in .${format}`,
      ...(format === "csv" ? { hint: "the rows of a Parquet or Excel file are written as CSV" } : {}),
    });
  if (!(await canCreate(output)))
    throw new ConfigError("invalid-output", "the output cannot be created", {
      where: output,
      expected: "a path in a writable folder",
      found: "no such folder, no write permission, or a link to nothing",
    });
  if (await isFolder(output))
    throw new ConfigError("invalid-output", "--out is a folder", { where: output, expected: "the path of a file" });
  if (await isSameFile(input, output))
    throw new ConfigError("invalid-output", "--out is the file of --in", {
      where: output,
      hint: "choose another --out",
    });
  if (!force) await refuseExisting(output);
}

/** The directories of adapters by their names: in a table with --adapter-column every row has one of these. */
type NamedAdapters = ReadonlyMap<string, string>;

/** The adapters by name, if there are several, or a column of names. Throws ConfigError for flags that conflict. */
export function namedAdapters({ adapter = [], adapterColumn }: TableFlags): NamedAdapters | null {
  if (adapter.length < 2 && adapterColumn === undefined) return null;
  const hint =
    `${calledAs("classify")} --adapter spam=runs/spam --adapter tone=runs/tone --adapter-column task ` +
    "--in messages.csv --out labelled.csv";
  if (adapter.length < 2 || adapterColumn === undefined)
    throw new ConfigError("options-conflict", "several adapters and --adapter-column go together", {
      expected: "--adapter NAME=DIR for each adapter, and the column of --in with the name of each row's",
      found: adapterColumn === undefined ? "no --adapter-column" : `${adapter.length} of --adapter`,
      hint,
    });
  const named = new Map<string, string>();
  for (const value of adapter) {
    const [, name = "", directory] = /^([^=]*)=(.+)$/.exec(value) ?? [];
    if (name.trim() === "" || directory === undefined)
      throw new ConfigError("invalid-adapter-name", "an adapter among several needs a name", {
        expected: "--adapter NAME=DIR",
        found: value,
        hint,
      });
    if (named.has(name.trim()))
      throw new ConfigError("invalid-adapter-name", `two adapters have the name "${name.trim()}"`, {
        found: `${named.get(name.trim())} and ${directory}`,
      });
    named.set(name.trim(), directory);
  }
  return named;
}

export async function labelFile(model: string | NamedAdapters, flags: Paths & TableFlags & ModelFlags): Promise<void> {
  const { in: input, out: output, force = false, order } = flags;
  await refuseOutput(flags);
  const named: NamedAdapters = typeof model === "string" ? new Map([[DEFAULT_NAME, model]]) : model;
  const table = await openInput(input, named.values(), flags);
  try {
    const surveyed = await survey(table, input, [...named.keys()]);
    const { rows, blank, adapters } = surveyed;
    printNote(`${input}: ${rows} rows, texts in column "${table.textColumn}"`);
    if (adapters.size > 0)
      printNote(
        `adapters in column "${table.adapterColumn}": ${nameList([...adapters].map(([name, count]) => `${name} ${count}`))}`,
      );
    for (const directory of named.values()) await settle(directory);
    const [names, limits] = await withClassifier(named, flags, async (classifier) => {
      const limits = await openLimits(classifier, [...named.values()][0]!, flags);
      const progress = createProgress({ total: rows, unit: "row", stream: process.stderr });
      const started = performance.now();
      let rate = 0;
      const onProgress = (done: number) => {
        rate = (1000 * done) / (performance.now() - started);
        progress.update(done, describeRate("rows", rate, (rows - done) / rate));
      };
      const options = { output, force, order, limits, onProgress };
      await labelTable(table, surveyed, classifier, options).finally(() => progress.stop());
      printNote(`${rows} rows, ${describeRate("rows", rate, Infinity)}, on ${placeOf(classifier)}`);
      return [new Fields(table, surveyed.taken, classifier).names, limits];
    });
    printNote(
      `saved to ${output}, with ${names.length === 1 ? "column" : "columns"} ${joinWords(names)}` +
        (blank > 0 ? `, empty in ${formatCount(blank)} ${blank === 1 ? "row" : "rows"} without a text` : ""),
    );
    for (const line of limits.describe(rows)) printNote(line);
    if (order)
      printNote(
        "the rows whose labels are least certain are first, and near-copies of them last: correct the labels of the first ones, " +
          "add these rows to your training data, and train again",
      );
  } finally {
    await table.close();
  }
}

/** What gets no label, by the flags. `directory`: the model's, which tells which texts are unlike its training data. */
export async function openLimits(
  labeller: Labeller,
  directory: string,
  { minProbability, skipUnlike, adapterColumn }: TableFlags,
): Promise<LabelLimits> {
  if (skipUnlike && adapterColumn !== undefined)
    throw new ConfigError("options-conflict", "--skip-unlike is for one model", { expected: "no --adapter-column" });
  const isUnlike = skipUnlike ? recognizeUnlike(await readClassic(directory)) : undefined;
  return new LabelLimits(labeller, { minProbability, isUnlike });
}

/**
 * Runs `work` with a classifier that has these adapters, and the device that was opened for it; or with the classic
 * model of a directory, which needs none.
 */
export async function withClassifier<T>(
  named: NamedAdapters,
  flags: ModelFlags,
  work: (classifier: Labeller, device?: Backend) => Promise<T>,
): Promise<T> {
  const { model, device: name, threads = 0, dtype, classic } = flags;
  const [[firstName, directory], ...others] = [...named] as [[string, string], ...[string, string][]];
  if (classic || (await isClassic(directory))) {
    const given = others.length > 0 ? "--adapter-column" : model !== undefined ? "--model" : dtype && "--dtype";
    if (given)
      throw new ConfigError("option-without-effect", `a classic model has no ${given}`, {
        expected: "a classic model alone: it needs no base model, and has no adapters",
      });
    return work(await ClassicModel.load(directory));
  }
  const device = await openBackend(name, { threads });
  try {
    const classifier = await Classifier.load(directory, {
      device,
      adapterName: firstName,
      onProgress: downloadProgress(process.stderr),
      ...(model === undefined ? {} : { model }),
      ...(dtype === undefined ? {} : { dtype }),
    });
    for (const [name, directory] of others) {
      await classifier.loadAdapter(directory, name);
      refuseOtherBase([firstName, name], [classifier.meta, classifier.metaOf(name)], flags);
    }
    const result = await work(classifier, device);
    classifier.destroy();
    return result;
  } finally {
    device.destroy();
  }
}

/** What it computes on: a device, or the program itself. */
const placeOf = ({ device }: Labeller) => (device ? describeDevice(device) : "the CPU, by a classic model");

/** Throws ConfigError if two adapters were trained on different base models, and none was given for both. */
function refuseOtherBase(
  [first, second]: [string, string],
  metas: readonly [AdapterMeta, AdapterMeta],
  { model, dtype }: Pick<ModelFlags, "model" | "dtype">,
): void {
  const differ = (what: string, [expected, found]: readonly string[], flag: string) => {
    if (expected === found) return;
    throw new ConfigError("base-models-differ", `the adapters have base models ${what}`, {
      expected: `${expected}, as ${first}`,
      found: `${found} (${second})`,
      hint: `give one that is right for all: ${flag}`,
    });
  };
  const bases = metas.map(({ base_model }) => base_model);
  if (model === undefined) differ("of different names", bases, "--model DIR");
  // Where nothing is frozen there is no other base model than its own.
  if (dtype === undefined && metas.every(({ mode }) => !METHODS[mode].freezesNothing))
    differ("in different types", metas.map(baseDtype), "--dtype TYPE");
}
