/** classify --in FILE --out FILE: labels the rows of a table; embed FILE --out FILE: their vectors. */

import { isSameFile, writeFileAtomic } from "#platform";
import { type Backend, describeDevice } from "../backend/backend.ts";
import { openBackend } from "../backend/device.ts";
import { ClassicModel } from "../classic/model.ts";
import { isClassic } from "../classic/parts.ts";
import { ConfigError, LowrankError } from "../core/errors.ts";
import { formatCount, joinWords } from "../core/format.ts";
import type { TextOrPair } from "../core/pair.ts";
import type { WeightDtype } from "../core/tensor.ts";
import { asProblem, isCertain, UNREAD } from "../data/problems.ts";
import { isFolder } from "../data/sets/source.ts";
import { dataFormat, hasCells } from "../data/table/dialect.ts";
import { Classifier, type ClassifierOptions } from "../infer/classifier.ts";
import { Embedder } from "../infer/embedder.ts";
import { Fields } from "../infer/table/label-fields.ts";
import { LabelLimits } from "../infer/table/label-limits.ts";
import { labelTable, refuseExisting, type Survey, survey, unchangedRows } from "../infer/table/label-table.ts";
import type { Labeller } from "../infer/table/labeller.ts";
import { openTable, type TableOptions } from "../infer/table/open-table.ts";
import type { Table } from "../infer/table/table.ts";
import { vectorWriter } from "../infer/table/vector-file.ts";
import { refuseUncreatable } from "../io/marker.ts";
import { readTrainedTexts } from "../run/trained-texts.ts";
import { downloadProgress } from "../views/terminal/download.ts";
import { createProgress, describeRate } from "../views/terminal/progress.ts";
import { calledAs } from "./called.ts";
import { type DeviceFlags, printNote, printRead, settle } from "./cli.ts";

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
  return openMeant(input, { textColumn, ...(await readTrainedTexts(model)), encoding, sheet });
}

/** What a file is read with, whatever its columns are. */
const OF_FILES = ["encoding", "sheet"] as const;

/** Opens a table in the encoding, and at the sheet, that it has beyond doubt, and says so. */
async function openMeant(input: string, asked: TableOptions): Promise<Table> {
  try {
    return await openTable(input, asked);
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    const found = asProblem(error);
    const isNew = OF_FILES.some((name) => name in found.settings && asked[name] === undefined);
    if (!isNew || !isCertain(found)) throw error;
    printRead(found);
    return openMeant(input, { ...asked, ...found.settings });
  }
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

/** Throws ConfigError if the output has another format, or `refuseUnwritable` does. */
async function refuseOutput({ in: input, out: output, force }: Paths & TableFlags): Promise<void> {
  const format = dataFormat(input);
  if (dataFormat(output) !== format || hasCells(output))
    throw new ConfigError("invalid-output", "--out has another format than --in", {
      where: output,
      expected: `a name that ends in .${format}`,
      ...(format === "csv" ? { hint: "the rows of a Parquet or Excel file are written as CSV" } : {}),
    });
  await refuseUnwritable(input, output, force);
}

/** Throws ConfigError if the output cannot be written, is the input, or exists, unless --force replaces it. */
async function refuseUnwritable(input: string, output: string, force = false): Promise<void> {
  await refuseUncreatable(output, "the output");
  if (await isFolder(output))
    throw new ConfigError("invalid-output", "--out is a folder", { where: output, expected: "the path of a file" });
  if (await isSameFile(input, output))
    throw new ConfigError("invalid-output", "--out is the file that is read", {
      where: output,
      hint: "choose another --out",
    });
  if (!force) await refuseExisting(output);
}

export async function labelFile(model: string, flags: Paths & TableFlags & ModelFlags): Promise<void> {
  const { in: input, out: output, force = false, order } = flags;
  await refuseOutput(flags);
  await withTable(await openInput(input, model, flags), input, async (table, surveyed) => {
    const { rows, blank } = surveyed;
    await settle(model);
    const [names, limits] = await withClassifier(model, flags, async (classifier) => {
      const limits = new LabelLimits(classifier, flags.minProbability);
      await withProgress(rows, classifier, (onProgress) =>
        labelTable(table, surveyed, classifier, { output, force, order, limits, onProgress }),
      );
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
  });
}

export type EmbedFlags = TableFlags & ModelFlags & Pick<Paths, "out">;

/** Writes a vector for each row of a table. */
export async function embedFile(input: string, flags: EmbedFlags): Promise<void> {
  const { out: output, force, textColumn, encoding, sheet } = flags;
  const write = vectorWriter(output);
  await refuseUnwritable(input, output, force);
  // In pieces that a CPU takes some seconds for: between them progress is shown.
  const asked = { textColumn, encoding, sheet, isPair: false, chunkBytes: 1 << 14 };
  await withTable(await openMeant(input, asked), input, (table, surveyed) =>
    onDevice(flags, Embedder.load, async (embedder) => {
      async function* embedRows(onProgress: (done: number) => void) {
        let done = 0;
        for await (const piece of unchangedRows(table, surveyed)) {
          const texts = piece.flatMap(({ text }) => (text === null ? [] : [text].flat()));
          const vectors = await embedder.embed(texts);
          yield texts.map((text, i) => ({ text, vector: vectors[i]! }));
          done += texts.length;
          onProgress(done);
        }
        // Another program may have written it meanwhile.
        if (!force) await refuseExisting(output);
      }
      const { rows, blank } = surveyed;
      await withProgress(rows, embedder, (onProgress) =>
        writeFileAtomic(output, write(embedRows(onProgress), [rows, embedder.size])),
      );
      const empty = blank > 0 ? `; those of ${formatCount(blank)} without a text are zeros` : "";
      printNote(`saved to ${output}, vectors of ${embedder.size} numbers${empty}`);
    }),
  );
}

/** Closes a table behind `work` on it, once it has been checked. */
async function withTable(table: Table, input: string, work: (table: Table, surveyed: Survey) => Promise<void>) {
  try {
    const surveyed = await survey(table, input);
    printNote(`${input}: ${surveyed.rows} rows, texts in column "${table.textColumn}"`);
    await work(table, surveyed);
  } finally {
    await table.close();
  }
}

/** Shows how many rows `work` has done, and says at its end how fast it was, on what. */
async function withProgress(
  rows: number,
  model: Pick<Labeller, "device">,
  work: (onProgress: (done: number) => void) => Promise<void>,
): Promise<void> {
  const progress = createProgress({ total: rows, unit: "row", stream: process.stderr });
  const started = performance.now();
  let rate = 0;
  const onProgress = (done: number) => {
    rate = (1000 * done) / (performance.now() - started);
    progress.update(done, describeRate("rows", rate, (rows - done) / rate));
  };
  await work(onProgress).finally(() => progress.stop());
  printNote(`${rows} rows, ${describeRate("rows", rate, Infinity)}, on ${placeOf(model)}`);
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
  const { model, dtype, classic } = flags;
  if (classic || (await isClassic(directory))) {
    const given = model !== undefined ? "--model" : dtype && "--dtype";
    if (given)
      throw new ConfigError("option-without-effect", `a classic model has no ${given}`, {
        expected: "a classic model alone: it needs no base model",
      });
    return work(await ClassicModel.load(directory));
  }
  return onDevice<Classifier, T>(flags, (options) => Classifier.load(directory, options), work);
}

/** Opens the device and the model for `work`, and closes them; then says how many texts are of another script. */
async function onDevice<M extends Pick<Classifier, "tokenizer" | "destroy">, T>(
  { model, device: name, threads = 0, dtype }: ModelFlags,
  load: (options: ClassifierOptions) => Promise<M>,
  work: (loaded: M, device: Backend) => Promise<T>,
): Promise<T> {
  const device = await openBackend(name, { threads });
  try {
    const loaded = await load({
      device,
      onProgress: downloadProgress(process.stderr),
      ...(model === undefined ? {} : { model }),
      ...(dtype === undefined ? {} : { dtype }),
    });
    const before = loaded.tokenizer.unread;
    const result = await work(loaded, device);
    const unread = loaded.tokenizer.unread - before;
    if (unread > 0) printNote(`${formatCount(unread)} ${UNREAD}`);
    loaded.destroy();
    return result;
  } finally {
    device.destroy();
  }
}

/** The device that it computes on, or the program itself. */
const placeOf = ({ device }: Pick<Labeller, "device">) =>
  device ? describeDevice(device) : "the CPU, by a classic model";
