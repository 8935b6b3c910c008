/** Writes a copy of a table with a label and its probability, or a score, in every row. */

import { createHasher, exists, writeFileAtomic } from "#platform";
import { concat } from "../../concat.ts";
import { ConfigError, DataError, LowrankError } from "../../errors.ts";
import { formatCount } from "../../format.ts";
import { LIMITS } from "../../io/limits.ts";
import { isBlank, joinPair, type TextOrPair } from "../../pair.ts";
import { formatBytes } from "../../plan/memory.ts";
import { setting } from "../../setting.ts";
import { marginOf } from "../../tasks/certainty.ts";
import { TASKS } from "../../tasks/index.ts";
import type { Labelled } from "../../tasks/predictions.ts";
import { type LabelledRow, tableByDoubt } from "./doubt.ts";
import { Fields } from "./label-fields.ts";
import type { LabelLimits } from "./label-limits.ts";
import type { Labeller } from "./labeller.ts";
import type { Table, TableRow } from "./table.ts";

/** What must be known of a table before its first row is labelled. */
interface Survey {
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
    new DataError("inputs-changed", "the file has changed while it was classified", {
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
