/**
 * Writes a copy of a table with a label and its probability in every row. The copy grows in OUTPUT.part, beside OUTPUT.part.json,
 * which tells of what it is; at the end it is renamed. After a kill, what is in it is compared with the table, row for row, and
 * the rest is appended.
 */
import { exists, moveFile, openAppend, openFile, remove, writeFileAtomic } from "#platform";
import type { DataFormat } from "../data/dialect.ts";
import { ConfigError, DataError, LowrankError, nameList } from "../errors.ts";
import { readJson } from "../io/common.ts";
import type { FileReader } from "../platform/reader.ts";
import type { Check } from "../platform/replacing.ts";
import { csvField } from "../report/csv.ts";
import { nearest } from "../suggest.ts";
import type { Classification, Classifier } from "./classifier.ts";
import { concat, type Table, type TableRow } from "./table.ts";

/** What decides the bytes of the copy. */
export interface LabelSettings {
  /** The version of Lowrank. */
  version: string;
  /** SHA-256 of the table's file. */
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

const partOf = (output: string) => `${output}.part`;
const settingsOf = (output: string) => `${output}.part.json`;

/**
 * The settings of an unfinished copy; undefined if there is none. Throws ConfigError for a file in its place that is not one.
 */
export async function unfinished(output: string): Promise<LabelSettings | undefined> {
  const [part, path] = [partOf(output), settingsOf(output)];
  const json = (await exists(path)) ? ((await readJson(path)) as Partial<LabelSettings & { format: string }>) : null;
  const isThere = await exists(part);
  if (json?.format !== FORMAT && (json !== null || isThere))
    throw new ConfigError("a file is in the way", {
      where: isThere ? part : path,
      expected: "no file, or the unfinished output of classify",
      hint: "move it, or choose another --out",
    });
  const { format: _, ...settings } = json ?? {};
  return isThere ? (settings as LabelSettings) : undefined;
}

/** What is to be known of a table before the first row is labelled. */
export interface Survey {
  rows: number;
  /** Names of the new columns, which no column of the table has. */
  names: readonly [label: string, probability: string];
  /** Rows of each adapter that the table names. */
  adapters: ReadonlyMap<string, number>;
}

/**
 * Reads a whole table, so that a fault in it is found before the work. `known`: the adapters that its rows may name. Throws FormatError or
 * DataError.
 */
export async function survey(table: Table, where: string, known: readonly string[] = []): Promise<Survey> {
  const taken = new Set(table.names.map((name) => name.trim().toLowerCase()));
  const decoder = new TextDecoder();
  const adapters = new Map<string, number>();
  let rows = 0;
  for await (const some of table.rows()) {
    for (const { text, bytes, adapter } of some) {
      if (text === null) continue;
      rows++;
      if (table.adapterColumn !== undefined) {
        if (!known.includes(adapter)) throw unknownAdapter(adapter, known, `${where}, row ${rows}`);
        adapters.set(adapter, (adapters.get(adapter) ?? 0) + 1);
      }
      if (table.format !== "jsonl") continue;
      // Every object has its own keys. A value like a name, or a name further inside, counts as well.
      const line = decoder.decode(bytes);
      for (const [name] of line.matchAll(/(?<=")(predicted|probability)(_\d+)?(?=")/g)) taken.add(name);
    }
  }
  if (rows === 0) throw new DataError("The file has no rows", { where, found: "only a header" });
  for (let i = 1; ; i++) {
    const names = ["predicted", "probability"].map((name) => (i === 1 ? name : `${name}_${i}`));
    if (!names.some((name) => taken.has(name))) return { rows, names: names as [string, string], adapters };
  }
}

function unknownAdapter(name: string, known: readonly string[], where: string): DataError {
  const near = nearest(name, known);
  return new DataError(name === "" ? "The row names no adapter" : `There is no adapter "${name}"`, {
    where,
    expected: `one of ${nameList(known)}`,
    ...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
  });
}

type Pair = readonly [label: string, probability: string];

/** Further fields of a row as they stand in a file of the format. */
const FIELDS: Record<DataFormat, (names: Pair, values: Pair, separator: string) => string> = {
  csv: (_, values, separator) => values.map((value) => separator + csvField(value, separator)).join(""),
  tsv: (_, values) => values.map((value) => `\t${value.replace(/[\t\r\n]/g, " ")}`).join(""),
  jsonl: ([label, probability], values) => `,"${label}":${JSON.stringify(values[0])},"${probability}":${values[1]}`,
};

/** Decimals of a probability. Every one has the same length. */
const DECIMALS = 6;

export interface LabelOptions {
  output: string;
  settings: LabelSettings;
  /** Begin again, whatever there is. */
  force: boolean;
  /** Called before every write. */
  check: Check;
  /** Rows that are done, and those of them that were there before. */
  onProgress: (done: number, kept: number) => void;
}

/**
 * Labels the rows of a table into `output`, which is replaced at the end if it exists. Throws ConfigError if there is an
 * unfinished copy with other settings, LowrankError if the disk cannot be written to.
 */
export async function labelTable(
  table: Table,
  { names }: Survey,
  classifier: Classifier,
  { output, settings, force, check, onProgress }: LabelOptions,
): Promise<void> {
  const part = partOf(output);
  const begun = await unfinished(output);
  if (begun && !force) refuseOther(output, begun, settings);
  if (!begun || force) {
    await remove(part);
    await writeFileAtomic(settingsOf(output), `${JSON.stringify({ format: FORMAT, ...settings }, null, 2)}\n`, check);
  }
  const fields = FIELDS[table.format];
  const encoder = new TextEncoder();
  const encode = (...values: [string, string]) => encoder.encode(fields(names, values, table.separator));
  const header = encode(...names);
  const labelled = ({ label, probability }: Classification) => encode(label, probability.toFixed(DECIMALS));
  const copyOf = ({ bytes, at }: TableRow, more: Uint8Array) =>
    at < 0 ? [bytes] : [bytes.subarray(0, at), more, bytes.subarray(at)];

  const before = (await exists(part)) ? await openFile(part) : undefined;
  const kept = new Kept(
    before,
    header,
    labelsOf(table, classifier).map((label) => encode(label, "0".padEnd(2 + DECIMALS, "0"))),
  );
  let writer: Awaited<ReturnType<typeof openAppend>> | undefined;
  let [done, resumed] = [0, 0];
  try {
    for await (const rows of table.rows()) {
      const count = writer ? 0 : await kept.match(rows);
      done += rows.filter(({ text }, i) => i < count && text !== null).length;
      if (count === rows.length) continue;
      if (!writer) {
        writer = await writing(part, openAppend(part, kept.bytes));
        resumed = done;
      }
      const rest = rows.slice(count);
      const results = await classifyByLength(classifier, rest, table.adapterColumn !== undefined);
      let next = 0;
      const pieces = rest.flatMap((row) => copyOf(row, row.text === null ? header : labelled(results[next++]!)));
      await check();
      await writing(part, writer.write(concat(pieces)));
      done += results.length;
      onProgress(done, resumed);
    }
  } finally {
    await before?.close();
    await writer?.close();
  }
  await check();
  await writing(output, moveFile(part, output));
  await remove(settingsOf(output));
}

function refuseOther(output: string, begun: LabelSettings, settings: LabelSettings): void {
  const keys = Object.keys(settings) as (keyof LabelSettings)[];
  const other = keys.filter((key) => begun[key] !== settings[key]);
  if (other.length === 0) return;
  const list = (of: LabelSettings) => nameList(other.map((key) => `${key} ${of[key]}`));
  throw new ConfigError("the unfinished output is of another input, model or setting", {
    where: partOf(output),
    expected: list(settings),
    found: list(begun),
    hint: "begin again with --force, or choose another --out",
  });
}

/** The labels that rows can have. */
function labelsOf({ adapterColumn }: Table, classifier: Classifier): readonly string[] {
  if (adapterColumn === undefined) return classifier.labels;
  return [...new Set(classifier.adapters.flatMap((name) => classifier.metaOf(name).labels))];
}

/** Results do not depend on the order; a batch of texts of one length has the most texts. `byRow`: every row names its adapter. */
async function classifyByLength(
  classifier: Classifier,
  rows: readonly TableRow[],
  byRow: boolean,
): Promise<Classification[]> {
  const texts = rows.flatMap(({ text }) => text ?? []);
  const adapters = rows.flatMap(({ text, adapter }) => (text === null ? [] : adapter));
  const order = texts.map((_, i) => i).sort((a, b) => texts[a]!.length - texts[b]!.length);
  const results: Classification[] = [];
  const sorted = await classifier.classify(
    order.map((i) => texts[i]!),
    byRow ? { adapterNames: order.map((i) => adapters[i]!) } : {},
  );
  for (const [at, i] of order.entries()) results[i] = sorted[at]!;
  return results;
}

/** The rows of an unfinished copy, up to the first that is not a row of the table with a label. */
class Kept {
  /** Bytes of the rows that matched. */
  bytes = 0;

  /** `fields`: of the header, and of a row with each label. The latter end with a probability, of which only the form counts. */
  constructor(
    private readonly file: FileReader | undefined,
    private readonly header: Uint8Array,
    private readonly fields: readonly Uint8Array[],
  ) {}

  /** How many of the next rows of the table are in the copy. */
  async match(rows: readonly TableRow[]): Promise<number> {
    if (this.file === undefined) return 0;
    const longest = Math.max(this.header.length, ...this.fields.map(({ length }) => length));
    const most = rows.reduce((sum, { bytes }) => sum + bytes.length + longest, 0);
    const found = await this.file.read(this.bytes, Math.min(most, this.file.size - this.bytes));
    let start = 0;
    for (const [i, row] of rows.entries()) {
      const end = this.endOf(row, found, start);
      if (end < 0) return i;
      this.bytes += end - start;
      start = end;
    }
    return rows.length;
  }

  /** Where a row that begins at `start` ends; -1 if it is another row, or cut off. */
  private endOf({ bytes, at, text }: TableRow, found: Uint8Array, start: number): number {
    if (at < 0 || !begins(found, start, bytes.subarray(0, at))) return -1;
    for (const fields of text === null ? [this.header] : this.fields) {
      const end = start + at + fields.length;
      const digits = text === null ? 0 : 2 + DECIMALS;
      const isThere =
        begins(found, start + at, fields.subarray(0, fields.length - digits)) &&
        (digits === 0 || isProbability(String.fromCharCode(...found.subarray(end - digits, end)))) &&
        begins(found, end, bytes.subarray(at));
      if (isThere) return end + bytes.length - at;
    }
    return -1;
  }
}

/** Whether a text is a probability as it is written. */
function isProbability(text: string): boolean {
  const value = Number(text);
  return value >= 0 && value <= 1 && value.toFixed(DECIMALS) === text;
}

function begins(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return at + expected.length <= bytes.length && expected.every((byte, i) => byte === bytes[at + i]);
}

async function writing<T>(where: string, work: Promise<T>): Promise<T> {
  return work.catch((cause) => {
    if (cause instanceof LowrankError) throw cause;
    const hint = "the same command continues once the file can be written";
    throw new LowrankError("the output cannot be written", { where, found: (cause as Error).message, hint, cause });
  });
}
