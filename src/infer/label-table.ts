/**
 * Writes a copy of a table with a label and its probability, or a score, in every row. The copy grows in OUTPUT.part,
 * beside OUTPUT.part.json, which identifies its inputs; at the end it is renamed. After a kill its rows are compared
 * with the table's, and the rest is appended. No record stays beside a finished copy: its contents show whether it
 * belongs to a table and a model.
 */
import { createHasher, exists, moveFile, openAppend, openFile, remove, writeFileAtomic } from "#platform";
import { ConfigError, DataError, FormatError, LowrankError, nameList } from "../errors.ts";
import { readJson } from "../io/common.ts";
import { isBlank, showText } from "../pair.ts";
import type { Check } from "../platform/reader.ts";
import { nearest } from "../suggest.ts";
import type { Classifier } from "./classifier.ts";
import { begins, Fields, Kept, type Labelled, lastNumber } from "./label-fields.ts";
import { concat, type Table, type TableRow } from "./table.ts";

/** What decides the bytes of the copy. */
export interface LabelSettings {
  /** The version of Lowrank. */
  version: string;
  /** SHA-256 of the table's rows. */
  input: string;
  /** SHA-256 of the adapter and its base model. */
  model: string;
  device: "webgpu" | "wasm";
  dtype: string;
  textColumn: string;
  /** Absent where one adapter labels all rows. */
  adapterColumn?: string;
  encoding: string;
}

const FORMAT = "lowrank-labels";

const partPath = (output: string) => `${output}.part`;
const settingsPath = (output: string) => `${output}.part.json`;

/**
 * The settings of an unfinished copy; undefined if there is none. Throws ConfigError for a file in its place that is
 * not one, and for a damaged one unless it is `replaced`.
 */
export async function unfinished(output: string, replaced = false): Promise<LabelSettings | undefined> {
  const [part, path] = [partPath(output), settingsPath(output)];
  const again = "begin again with --force, or choose another --out";
  const read = async () => (await readJson(path)) as Partial<LabelSettings & { format: string }> | null;
  const json = !(await exists(path))
    ? null
    : await read().catch((cause) => {
        if (!(cause instanceof FormatError)) throw cause;
        if (replaced) return { format: FORMAT };
        throw new ConfigError("unfinished-output-damaged", "the unfinished output is damaged", {
          where: path,
          hint: again,
          cause,
        });
      });
  const isThere = await exists(part);
  if (json?.format !== FORMAT && (json !== null || isThere))
    throw new ConfigError("files-in-the-way", "a file is in the way", {
      where: isThere ? part : path,
      expected: "no file, or the unfinished output of classify",
      hint: "move it, or choose another --out",
    });
  const { format: _, ...settings } = json ?? {};
  return isThere ? (settings as LabelSettings) : undefined;
}

/** What must be known of a table before its first row is labelled. */
interface Survey {
  /** The path of the table. */
  where: string;
  rows: number;
  /** Rows without a text, which get no label. */
  blank: number;
  /** Of all rows. */
  sha256: string;
  /** Names that a new column must not have, in lower case. */
  taken: ReadonlySet<string>;
  /** Rows of each adapter that the table names. */
  adapters: ReadonlyMap<string, number>;
}

/**
 * Reads a whole table, so that a fault in it is found before the work. `known`: the adapters that its rows may name.
 * Throws FormatError or DataError.
 */
export async function survey(table: Table, where: string, known: readonly string[] = []): Promise<Survey> {
  const taken = new Set(table.names.map((name) => name.trim().toLowerCase()));
  const decoder = new TextDecoder();
  const adapters = new Map<string, number>();
  const hasher = await createHasher("sha256");
  let [rows, blank] = [0, 0];
  for await (const some of table.rows()) {
    for (const { text, bytes, adapter } of some) {
      hasher.update(bytes);
      if (text === null) continue;
      rows++;
      if (isBlank(text)) blank++;
      // An empty row names none.
      if (table.adapterColumn !== undefined && (adapter !== "" || !isBlank(text))) {
        if (!known.includes(adapter)) throw unknownAdapter(adapter, known, `${where}, row ${rows}`);
        adapters.set(adapter, (adapters.get(adapter) ?? 0) + 1);
      }
      if (table.format !== "jsonl") continue;
      // Every object has its own keys. A value like a name, or a name further inside, counts as well.
      const line = decoder.decode(bytes);
      for (const [name] of line.matchAll(/(?<=")(predicted|probability|score)[^"]*(?=")/g))
        taken.add(name.toLowerCase());
    }
  }
  if (rows === 0) throw new DataError("no-rows", "The file has no rows", { where, found: "only a header" });
  return { where, rows, blank, sha256: hasher.digest(), taken, adapters };
}

/** The rows of a table as surveyed. Throws DataError, at the end or earlier, if they have changed. */
export async function* unchangedRows(table: Table, { where, sha256 }: Survey): AsyncGenerator<TableRow[]> {
  const changed = (cause?: LowrankError) =>
    new DataError("inputs-changed", "the file has changed while it was classified", {
      where,
      expected: "the same rows as at the start",
      found: cause === undefined ? "other rows" : cause.message.split("\n")[0]!,
      hint: "run it again when no other program writes the file; for an --out that was begun with other rows, with --force",
      cause,
    });
  const hasher = await createHasher("sha256");
  try {
    for await (const rows of table.rows()) {
      for (const { bytes } of rows) hasher.update(bytes);
      yield rows;
    }
  } catch (cause) {
    throw cause instanceof LowrankError ? changed(cause) : cause;
  }
  if (hasher.digest() !== sha256) throw changed();
}

function unknownAdapter(name: string, known: readonly string[], where: string): DataError {
  const near = nearest(name, known);
  return new DataError("no-such-adapter", name === "" ? "The row names no adapter" : `There is no adapter "${name}"`, {
    where,
    expected: `one of ${nameList(known)}`,
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
  });
}

interface LabelOptions {
  output: string;
  settings: LabelSettings;
  /** Begin again, whatever there is. */
  force: boolean;
  /** Called before every write. */
  check: Check;
  /** Rows done, and how many of them an earlier call had done. */
  onProgress: (done: number, kept: number) => void;
}

/**
 * Labels the rows of a table into `output`, which is replaced at the end if it exists and `force` is set. Returns false
 * if it is there already, as these settings make it. Throws ConfigError if it is something else, or if there is an
 * unfinished copy with other settings, DataError if the table changes meanwhile, LowrankError if the disk cannot be
 * written to.
 */
export async function labelTable(
  table: Table,
  surveyed: Survey,
  classifier: Classifier,
  { output, settings, force, check, onProgress }: LabelOptions,
): Promise<boolean> {
  const part = partPath(output);
  const begun = await unfinished(output, force);
  const fields = new Fields(table, surveyed.taken, classifier);
  if (!force && (await exists(output))) {
    if (!(await isCopy(output, table, surveyed, classifier, fields))) refuseExisting(output);
    if (begun && differences(begun, settings).length > 0) return false;
    await check();
    await remove(part);
    await remove(settingsPath(output));
    return false;
  }
  if (begun && !force) refuseOther(output, begun, settings);
  if (!begun || force) {
    await remove(part);
    await writeFileAtomic(settingsPath(output), `${JSON.stringify({ format: FORMAT, ...settings }, null, 2)}\n`, check);
  }
  const before = (await exists(part)) ? await openFile(part) : undefined;
  const kept = new Kept(before, fields);
  let writer: Awaited<ReturnType<typeof openAppend>> | undefined;
  let [done, resumed] = [0, 0];
  try {
    for await (const rows of unchangedRows(table, surveyed)) {
      const { length: count } = writer ? [] : await kept.match(rows);
      done += rows.filter(({ text }, i) => i < count && text !== null).length;
      if (count === rows.length) continue;
      if (!writer) {
        writer = await writing(part, openAppend(part, kept.bytes));
        resumed = done;
      }
      const { bytes, results } = await labelRows(table, rows.slice(count), classifier, fields);
      await check();
      await writing(part, writer.write(bytes));
      done += results.length;
      onProgress(done, resumed);
    }
    // Of a copy that was complete, what is behind its rows is cut off.
    writer ??= await writing(part, openAppend(part, kept.bytes));
  } finally {
    await before?.close();
    await writer?.close();
  }
  await check();
  await writing(output, moveFile(part, output));
  await remove(settingsPath(output));
  return true;
}

/**
 * The bytes of some rows with labels in them, and what the model makes of each row that is not the header; null: it has
 * no text.
 */
export async function labelRows(
  { adapterColumn }: Table,
  rows: readonly TableRow[],
  classifier: Classifier,
  fields: Fields,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; results: (Labelled | null)[] }> {
  const results = await classifyByLength(classifier, rows, adapterColumn !== undefined);
  let next = 0;
  const fieldsOf = ({ text }: TableRow) => {
    if (text === null) return fields.header;
    const result = results[next++];
    return result ? fields.of(result) : fields.empty;
  };
  const pieces = rows.flatMap((row) => withFields(row, fieldsOf(row)));
  return { bytes: concat(pieces), results };
}

function withFields({ bytes, at }: TableRow, fields: Uint8Array): Uint8Array[] {
  return at < 0 ? [bytes] : [bytes.subarray(0, at), fields, bytes.subarray(at)];
}

/** Rows that are labelled again to recognize a copy: one batch. */
const SAMPLE = 16;

/**
 * Whether a file is the copy of a table with the labels of this classifier: its rows are the table's, with fields of
 * the form, and those with the lowest numbers, which no other model has to every digit, are the same when they are
 * labelled again.
 */
async function isCopy(
  path: string,
  table: Table,
  surveyed: Survey,
  classifier: Classifier,
  fields: Fields,
): Promise<boolean> {
  const file = await openFile(path);
  try {
    const kept = new Kept(file, fields);
    let sample: { row: TableRow; found: Uint8Array; number: number }[] = [];
    for await (const rows of unchangedRows(table, surveyed)) {
      const matched = await kept.match(rows);
      if (matched.length < rows.length) return false;
      const some = rows.map((row, i) => ({ row, found: matched[i]!, number: lastNumber(matched[i]!) }));
      sample = [...sample, ...some.filter(({ row: { text } }) => text !== null && !isBlank(text))]
        .sort((a, b) => a.number - b.number)
        .slice(0, SAMPLE);
    }
    if (kept.bytes < file.size) return false;
    const rows = sample.map(({ row }) => row);
    const results = await classifyByLength(classifier, rows, table.adapterColumn !== undefined);
    return results.every((result, i) => begins(fields.of(result!), 0, sample[i]!.found));
  } finally {
    await file.close();
  }
}

function refuseExisting(output: string): never {
  throw new ConfigError("output-exists", "the output already exists", {
    where: output,
    expected: "a new path, or what the same command has written",
    hint: "choose another --out, or give --force to replace it when the new one is finished",
  });
}

/** The settings in which an unfinished copy differs. */
function differences(begun: LabelSettings, settings: LabelSettings): (keyof LabelSettings)[] {
  const keys = Object.keys(settings) as (keyof LabelSettings)[];
  return keys.filter((key) => begun[key] !== settings[key]);
}

function refuseOther(output: string, begun: LabelSettings, settings: LabelSettings): void {
  const other = differences(begun, settings);
  if (other.length === 0) return;
  const list = (of: LabelSettings) => nameList(other.map((key) => `${key} ${of[key]}`));
  throw new ConfigError("unfinished-output-differs", "the unfinished output is of another input, model or setting", {
    where: partPath(output),
    expected: list(settings),
    found: list(begun),
    hint: "begin again with --force, or choose another --out",
  });
}

/** Results do not depend on the order; texts of equal length fill batches best. `byRow`: rows name their adapters. */
async function classifyByLength(
  classifier: Classifier,
  rows: readonly TableRow[],
  byRow: boolean,
): Promise<(Labelled | null)[]> {
  const texts = rows.flatMap(({ text }) => (text === null ? [] : [text]));
  const adapters = rows.flatMap(({ text, adapter }) => (text === null ? [] : adapter));
  const order = [...texts.keys()]
    .filter((i) => !isBlank(texts[i]!))
    .sort((a, b) => showText(texts[a]!).length - showText(texts[b]!).length);
  const results: (Labelled | null)[] = texts.map(() => null);
  const some = order.map((i) => texts[i]!);
  const options = byRow ? { adapterNames: order.map((i) => adapters[i]!) } : {};
  const isRegression = classifier.meta.task.objective === "regression";
  const sorted = await (isRegression ? classifier.score(some, options) : classifier.classify(some, options));
  for (const [at, i] of order.entries()) results[i] = sorted[at]!;
  return results;
}

async function writing<T>(where: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    if (cause instanceof LowrankError) throw cause;
    const hint = "the same command continues once the file can be written";
    throw new LowrankError("write-failed", "the output cannot be written", {
      where,
      found: (cause as Error).message,
      hint,
      cause,
    });
  });
}
