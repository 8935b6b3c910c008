/** Writes a copy of a table with a label and its probability, or a score, in every row. */

import { createHasher, exists, writeFileAtomic } from "#platform";
import { concat } from "../../core/concat.ts";
import { ConfigError, DataError, LowrankError } from "../../core/errors.ts";
import { formatCount } from "../../core/format.ts";
import { isBlank, joinPair, type TextOrPair } from "../../core/pair.ts";
import { setting } from "../../core/setting.ts";
import { normalize } from "../../data/duplicates.ts";
import { LIMITS } from "../../io/limits.ts";
import { formatBytes } from "../../plan/memory.ts";
import { marginOf } from "../../tasks/certainty.ts";
import { TASKS } from "../../tasks/index.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import { Fields } from "./label-fields.ts";
import type { LabelLimits } from "./label-limits.ts";
import type { Labeller } from "./labeller.ts";
import type { Table, TableRow } from "./table.ts";

/** Known of a table before its first row is labelled. */
export interface Survey {
  /** The path of the table. */
  where: string;
  rows: number;
  /** Rows without a text, which get no label. */
  blank: number;
  bytes: number;
  /** Of all rows. */
  sha256: string;
  /** Names that a new column must not have, in lower case. */
  taken: ReadonlySet<string>;
}

/** Reads a whole table, so that a fault in it is found before the work. Throws FormatError or DataError. */
export async function survey(table: Table, where: string): Promise<Survey> {
  const taken = new Set(table.names.map((name) => name.trim().toLowerCase()));
  const decoder = new TextDecoder();
  const hasher = await createHasher("sha256");
  let [rows, blank, size] = [0, 0, 0];
  for await (const some of table.rows()) {
    for (const { text, bytes } of some) {
      hasher.update(bytes);
      size += bytes.length;
      if (text === null) continue;
      rows++;
      if (isBlank(text)) blank++;
      if (table.format !== "jsonl") continue;
      // Every object has its own keys. A value like a name, or a name further inside, counts as well.
      const line = decoder.decode(bytes);
      for (const [name] of line.matchAll(/(?<=")(predicted|probability|score)[^"]*(?=")/g))
        taken.add(name.toLowerCase());
    }
  }
  if (rows === 0) throw new DataError("no-rows", "The file has no rows", { where, found: "only a header" });
  return { where, rows, blank, bytes: size, sha256: hasher.digest(), taken };
}

/** The rows of a table as surveyed. Throws DataError, at the end or earlier, if they have changed. */
export async function* unchangedRows(table: Table, { where, sha256 }: Survey): AsyncGenerator<TableRow[]> {
  const changed = (cause?: LowrankError) =>
    new DataError("inputs-changed", "the file has changed while it was read", {
      where,
      expected: "the same rows as at the start",
      found: cause === undefined ? "other rows" : cause.message.split("\n")[0]!,
      hint: "run it again when no other program writes the file",
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

interface CopyOptions {
  output: string;
  /** Replace `output` if it exists. */
  force: boolean;
  /** "doubt": the rows whose labels are least clear first; default: the order of the table. */
  order?: "doubt" | undefined;
  limits?: LabelLimits | undefined;
  onProgress: (rows: number) => void;
}

/**
 * Labels the rows of a table into `output`, which has its name once it is whole. Throws ConfigError if it exists,
 * DataError if the table changes meanwhile, LowrankError if the disk cannot be written to.
 */
export async function labelTable(
  table: Table,
  surveyed: Survey,
  classifier: Labeller,
  { output, force, order, limits, onProgress }: CopyOptions,
): Promise<void> {
  if (order) checkOrder(surveyed, classifier);
  let done = 0;
  const onRows: RowOptions["onRows"] = (texts) => {
    done += texts.length;
    onProgress(done);
  };
  const options = { limits, onRows, ...(order ? { margin: marginOf } : {}) };
  async function* copy() {
    if (order) yield* tableByDoubt(table, labelledRows(table, surveyed, classifier, options));
    else yield* labelRows(table, surveyed, classifier, options);
    // Another program may have written it meanwhile.
    if (!force) await refuseExisting(output);
  }
  await writeFileAtomic(output, copy());
}

/** Throws ConfigError if what the model gives has no order of doubt, DataError if there are too many rows for one. */
function checkOrder({ where, rows, bytes }: Survey, { meta: { task } }: Labeller): void {
  const { predicts, title } = TASKS[task.objective];
  if (predicts!.method !== "classify")
    throw new ConfigError("options-conflict", `${setting("order", "doubt")} is for classes and labels of whole texts`, {
      expected: "a model that gives each of them a probability",
      found: title,
    });
  const { orderedRows, orderedBytes } = LIMITS;
  if (rows > orderedRows || bytes > orderedBytes)
    throw new DataError("exceeds-limit", "there are too many rows to put in an order: they are in memory", {
      where,
      expected: `at most ${formatCount(orderedRows)} rows and ${formatBytes(orderedBytes)}`,
      found: `${formatCount(rows)} rows, ${formatBytes(bytes)}`,
      hint: "a part of the rows is enough to choose from",
    });
}

/** Throws ConfigError if there is a file of this path. */
export async function refuseExisting(output: string): Promise<void> {
  if (await exists(output))
    throw new ConfigError("output-exists", "the output already exists", {
      where: output,
      hint: `choose another output, or give ${setting("force")} to replace it when the new one is finished`,
    });
}

/** Rows labelled at a time: some batches, but few enough to show progress, and to stop soon. */
const ROWS = 64;

interface RowOptions {
  limits?: LabelLimits | undefined;
  /** How clear a label is; default: nobody asks. */
  margin?: typeof marginOf;
  /** Receives the texts of some rows, and what the model makes of each; null: a blank one. */
  onRows: (texts: TextOrPair[], results: (Labelled | null)[]) => void;
}

/** The bytes of a table's copy. */
export async function* labelRows(
  table: Table,
  surveyed: Survey,
  classifier: Labeller,
  options: RowOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  for await (const rows of labelledRows(table, surveyed, classifier, options))
    yield concat(
      Uint8Array,
      rows.flatMap(({ row: { bytes, at }, added }) =>
        at < 0 ? [bytes] : [bytes.subarray(0, at), added, bytes.subarray(at)],
      ),
    );
}

async function* labelledRows(
  table: Table,
  surveyed: Survey,
  classifier: Labeller,
  { limits, margin, onRows }: RowOptions,
): AsyncGenerator<LabelledRow[], void, void> {
  const fields = new Fields(table, surveyed.taken, classifier);
  const label = (row: TableRow, result: Labelled | null): LabelledRow => {
    if (row.text === null) return { row, added: fields.header, margin: null };
    return { row, added: fields.of(result), margin: result && margin ? margin(result, classifier.meta) : null };
  };
  for await (const piece of unchangedRows(table, surveyed)) {
    const labelled: LabelledRow[] = [];
    for (let first = 0; first < piece.length; first += ROWS) {
      const rows = piece.slice(first, first + ROWS);
      const texts = rows.flatMap(({ text }) => (text === null ? [] : [text]));
      const results = await classifyByLength(classifier, texts);
      const given = results.map((one) => one && (limits ? limits.apply(one) : one));
      const next = given.values();
      for (const row of rows) labelled.push(label(row, row.text === null ? null : next.next().value!));
      onRows(texts, given);
    }
    yield labelled;
  }
}

/** Results do not depend on the order; texts of equal length fill batches best. */
async function classifyByLength(classifier: Labeller, texts: readonly TextOrPair[]): Promise<(Labelled | null)[]> {
  const order = [...texts.keys()]
    .filter((i) => !isBlank(texts[i]!))
    .sort((a, b) => joinPair(texts[a]!).length - joinPair(texts[b]!).length);
  const { method } = TASKS[classifier.meta.task.objective].predicts!;
  const sorted = await classifier[method]!(order.map((i) => texts[i]!));
  const results: (Labelled | null)[] = texts.map(() => null);
  for (const [at, i] of order.entries()) results[i] = sorted[at]!;
  return results;
}

/** A row with its further fields. */
export interface LabelledRow {
  row: TableRow;
  added: Uint8Array;
  /** How clear its label is, from 0; null: it has no text, and comes last. */
  margin: number | null;
}

/** Characters of an n-gram. */
const GRAM = 3;
/**
 * A text has HASHES minima of hashes of its n-grams (MinHash: Broder 1997), each equal to another text's with the
 * probability of the share of n-grams that they have in common. Texts are near-copies if all of a band are equal: with
 * half of the n-grams in common 4 of 10 are, with 7 of 10 in common 9 of 10, with a quarter 1 of 30.
 */
const [BANDS, BAND] = [8, 4];
const HASHES = BANDS * BAND;
/** Odd factors, one a hash. */
const FACTORS = Uint32Array.from({ length: HASHES }, (_, i) => Math.imul(2 * i + 1, 0x9e3779b1) | 1);

/** The hashes of a text's bands. Texts that differ in numbers, punctuation and case alone have the same. */
function hashBands(text: TextOrPair): Uint32Array {
  const characters = normalize(joinPair(text));
  const least = new Uint32Array(HASHES).fill(0xffffffff);
  for (let first = 0; first === 0 || first + GRAM <= characters.length; first++) {
    let gram = 0x811c9dc5;
    for (let i = first; i < first + GRAM; i++) gram = Math.imul(gram ^ (characters.charCodeAt(i) || 0), 0x01000193);
    gram = mix(gram);
    for (let i = 0; i < HASHES; i++) {
      const hash = Math.imul(gram, FACTORS[i]!) >>> 0;
      if (hash < least[i]!) least[i] = hash;
    }
  }
  return Uint32Array.from({ length: BANDS }, (_, band) =>
    least.subarray(BAND * band, BAND * (band + 1)).reduce((sum, hash) => mix(Math.imul(sum, 31) + hash), band),
  );
}

/** Murmur3's last step, after which every bit depends on every other. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * The places of rows in the order in which to label them: by their margins, the smallest first; but of near-copies one
 * comes with the rows that are none, a second behind all of these, and so on.
 */
export function orderByDoubt(rows: readonly { margin: number; text: TextOrPair }[]): number[] {
  const copies = new Map<number, number>();
  const byMargin = [...rows.keys()].sort((a, b) => rows[a]!.margin - rows[b]!.margin);
  const turns = new Uint32Array(rows.length);
  for (const i of byMargin) {
    const bands = hashBands(rows[i]!.text);
    const turn = bands.reduce((most, band) => Math.max(most, copies.get(band) ?? 0), 0);
    turns[i] = turn;
    for (const band of bands) copies.set(band, turn + 1);
  }
  return byMargin.sort((a, b) => turns[a]! - turns[b]!);
}

const [LF, CR, OPEN, LIST] = [10, 13, 123, 91];
const encode = (text: string) => new TextEncoder().encode(text);

/** The bytes of a table with its rows by doubt, each on a line of its own; rows without a text are last. */
export async function* tableByDoubt(
  { format }: Table,
  pieces: AsyncIterable<readonly LabelledRow[]>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const rows: { text: TextOrPair; margin: number; line: Uint8Array }[] = [];
  const last: Uint8Array[] = [];
  let [isList, end]: [boolean, Uint8Array | null] = [false, null];
  for await (const piece of pieces)
    for (const { row, added, margin } of piece) {
      const { bytes, at, text } = row;
      if (at < 0) continue;
      end ??= encode(bytes[at] === CR ? "\r\n" : "\n");
      if (text === null) {
        // The header, which stays where it is.
        yield concat(Uint8Array, [bytes.subarray(0, at), added, end]);
        continue;
      }
      const first = firstByte(format, bytes);
      isList ||= format === "jsonl" && bytes.subarray(0, first).includes(LIST);
      const close = bytes.subarray(at, format === "jsonl" ? at + 1 : at);
      const line = concat(Uint8Array, [bytes.subarray(first, at), added, close]);
      if (margin === null) last.push(line);
      else rows.push({ text, margin, line });
    }
  if (isList) yield encode("[\n");
  const lines = [...orderByDoubt(rows).map((i) => rows[i]!.line), ...last];
  for (const [i, line] of lines.entries()) {
    const isSeparated = isList && i + 1 < lines.length;
    yield concat(Uint8Array, [line, encode(isSeparated ? "," : ""), end!]);
  }
  if (isList) yield encode("]\n");
}

/** Where a row begins, behind blank lines, a byte order mark, or what separates the objects of a list. */
function firstByte(format: Table["format"], bytes: Uint8Array): number {
  if (format === "jsonl") return bytes.indexOf(OPEN);
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const first = bytes.subarray(marked).findIndex((byte) => byte !== LF && byte !== CR);
  return marked + Math.max(0, first);
}
