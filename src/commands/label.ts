/** classify --in FILE --out FILE: labels the rows of a table. */

import { canCreate, isSameFile } from "#platform";
import { type Backend, describeDevice } from "../backend/backend.ts";
import { openBackend } from "../backend/device.ts";
import { ClassicModel } from "../classic/model.ts";
import { isClassic } from "../classic/parts.ts";
import { isFolder } from "../data/sets/source.ts";
import { ConfigError } from "../errors.ts";
import { formatCount, joinWords } from "../format.ts";
import { Classifier } from "../infer/classifier.ts";
import { Fields } from "../infer/table/label-fields.ts";
import { LabelLimits } from "../infer/table/label-limits.ts";
import { labelTable, refuseExisting, survey, unchangedRows } from "../infer/table/label-table.ts";
import type { Labeller } from "../infer/table/labeller.ts";
import { isWrittenAsCsv, openTable, outputFormat } from "../infer/table/open-table.ts";
import type { Table } from "../infer/table/table.ts";
import type { TextOrPair } from "../pair.ts";
import { readTrainedTexts } from "../run/trained-texts.ts";
import type { WeightDtype } from "../tensor.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { createProgress, describeRate } from "../views/terminal/progress.ts";
import { calledAs } from "./called.ts";
import { type DeviceFlags, printNote, settle } from "./cli.ts";

export interface TableFlags {
  in?: string;
  out?: string;
  textColumn?: string;
  encoding?: string;
  order?: "doubt";
  minProbability?: number;
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
  const { in: input, out: output, textColumn, encoding, sheet, order, force } = flags;
  if (input !== undefined && output !== undefined && !texts && !json) return true;
  const [ofInput, ofOutput] = [textColumn ?? encoding ?? sheet, output ?? order ?? (force || undefined)];
  if (ofOutput === undefined && (input === undefined ? ofInput === undefined : !texts)) return false;
  throw new ConfigError("options-conflict", "the flags do not go together", {
    expected:
      "--in FILE, with --text-column, --sheet and --encoding where needed, and no texts; " +
      "and --out FILE for its rows, with --order and --force where needed, and no --json",
    hint: `${calledAs("classify")} --run DIR --in messages.csv --out labelled.csv`,
  });
}

/** Opens the table of --in. Its texts are in the --text-column of the model's training, if it has that column. */
async function openInput(input: string, model: string, { textColumn, encoding, sheet }: TableFlags): Promise<Table> {
  return openTable(input, { textColumn, ...(await readTrainedTexts(model)), encoding, sheet });
}

/** The texts of --in, some at a time, once the whole table has been checked. */
export async function tableTexts(
  input: string,
  model: string,
  flags: TableFlags,
): Promise<AsyncIterable<TextOrPair[]>> {
  const table = await openInput(input, model, flags);
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

export async function labelFile(model: string, flags: Paths & TableFlags & ModelFlags): Promise<void> {
  const { in: input, out: output, force = false, order } = flags;
  await refuseOutput(flags);
  const table = await openInput(input, model, flags);
  try {
    const surveyed = await survey(table, input);
    const { rows, blank } = surveyed;
    printNote(`${input}: ${rows} rows, texts in column "${table.textColumn}"`);
    await settle(model);
    const [names, limits] = await withClassifier(model, flags, async (classifier) => {
      const limits = new LabelLimits(classifier, flags.minProbability);
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

/**
 * Runs `work` with the classifier of a directory, and the device that was opened for it; or with its classic model,
 * which needs none.
 */
export async function withClassifier<T>(
  directory: string,
  flags: ModelFlags,
  work: (classifier: Labeller, device?: Backend) => Promise<T>,
): Promise<T> {
  const { model, device: name, threads = 0, dtype, classic } = flags;
  if (classic || (await isClassic(directory))) {
    const given = model !== undefined ? "--model" : dtype && "--dtype";
    if (given)
      throw new ConfigError("option-without-effect", `a classic model has no ${given}`, {
        expected: "a classic model alone: it needs no base model",
      });
    return work(await ClassicModel.load(directory));
  }
  const device = await openBackend(name, { threads });
  try {
    const classifier = await Classifier.load(directory, {
      device,
      onProgress: downloadProgress(process.stderr),
      ...(model === undefined ? {} : { model }),
      ...(dtype === undefined ? {} : { dtype }),
    });
    const result = await work(classifier, device);
    classifier.destroy();
    return result;
  } finally {
    device.destroy();
  }
}

/** What it computes on: a device, or the program itself. */
const placeOf = ({ device }: Labeller) => (device ? describeDevice(device) : "the CPU, by a classic model");
