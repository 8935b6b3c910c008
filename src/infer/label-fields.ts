/** The added fields of a labelled table: how its rows are written, and found again in a copy. */
import type { DataFormat } from "../data/dialect.ts";
import { labelThreshold } from "../engine/predictions.ts";
import { ConfigError } from "../errors.ts";
import { csvField } from "../io/csv.ts";
import type { AdapterMeta } from "../io/peft.ts";
import { isBlank } from "../pair.ts";
import type { FileReader } from "../platform/reader.ts";
import type { Classification, Classifier, Scored } from "./classifier.ts";
import type { Table, TableRow } from "./table.ts";

/** What a model makes of a row. */
export type Labelled = Classification | Scored;

/** Decimals of a number. Every probability has the same length. */
const DECIMALS = 6;
const NUMBER = new RegExp(`-?\\d+\\.\\d{${DECIMALS}}`, "g");
/** The longest number of float32. */
const LONGEST_NUMBER = (-(2 ** 127)).toFixed(DECIMALS).length + 1;
const BETWEEN = "|";

/** The further fields of a row with a text: a text, unless the model gives scores, and numbers. */
interface Kind {
  columns: readonly string[];
  texts: 0 | 1;
  of(result: Labelled): { texts: readonly string[]; numbers: readonly number[] };
  /** The texts that may stand before these numbers. */
  before(numbers: readonly number[]): readonly (readonly string[])[];
}

const SCORES: Kind = {
  columns: ["score"],
  texts: 0,
  of: (result) => ({ texts: [], numbers: [(result as Scored).score!] }),
  before: () => [[]],
};

const classes = (labels: readonly string[]): Kind => ({
  columns: ["predicted", "probability"],
  texts: 1,
  of(result) {
    const { label, probability } = result as Classification;
    return { texts: [label!], numbers: [probability!] };
  },
  before: ([probability]) => (isProbability(probability!) ? labels.map((label) => [label]) : []),
});

const severalLabels = ({ labels, settings }: AdapterMeta): Kind => ({
  columns: ["predicted", ...labels.map((label) => `probability ${label}`)],
  texts: 1,
  of(result) {
    const { labels: named = [], probabilities } = result as Classification;
    return { texts: [named.join(BETWEEN)], numbers: labels.map((label) => probabilities[label]!) };
  },
  before: (numbers) =>
    numbers.every(isProbability)
      ? [[labels.filter((_, i) => numbers[i]! >= labelThreshold(settings, i)).join(BETWEEN)]]
      : [],
});

const isProbability = (value: number) => value >= 0 && value <= 1;

/** The fields of a table's rows. Throws ConfigError if the rows' adapters have different ones. */
function chooseKind({ adapterColumn }: Table, classifier: Classifier): Kind {
  const { meta } = classifier;
  const all = adapterColumn === undefined ? [meta] : classifier.adapters.map((name) => classifier.metaOf(name));
  if (meta.task.objective === "regression") return SCORES;
  if (meta.task.objective !== "multi-label") return classes([...new Set(all.flatMap(({ labels }) => labels))]);
  const other = all.find(
    ({ labels, settings }) => String([labels, settings.thresholds]) !== String([meta.labels, meta.settings.thresholds]),
  );
  if (other)
    throw new ConfigError("options-conflict", "adapters with several labels a message differ in them", {
      expected: `${meta.labels.join(", ")}, with equal thresholds`,
      found: other.labels.join(", "),
      hint: "label the rows of each adapter in a table of their own",
    });
  return severalLabels(meta);
}

/** Further fields of a row as they stand in a file of the format; the first `texts` are texts, the others numbers. */
const FORMATS: Record<
  DataFormat,
  (names: readonly string[], values: readonly string[], texts: number, separator: string) => string
> = {
  csv: (_, values, __, separator) => values.map((value) => separator + csvField(value, separator)).join(""),
  tsv: (_, values) => values.map((value) => `\t${value.replace(/[\t\r\n]/g, " ")}`).join(""),
  jsonl: (names, values, texts) =>
    values.map((value, i) => `,${JSON.stringify(names[i])}:${i < texts ? JSON.stringify(value) : value}`).join(""),
};

/** Further fields of a copy's rows, as bytes. */
export class Fields {
  /** The columns, named so that the table has none of them. */
  readonly names: readonly string[];
  /** Of the header, and of a row without a text. */
  readonly header: Uint8Array;
  readonly empty: Uint8Array;
  /** The most bytes that a row's have. */
  readonly longest: number;
  private readonly kind: Kind;

  /** `taken`: the names of the table's columns. */
  constructor(
    private readonly table: Table,
    taken: ReadonlySet<string>,
    classifier: Classifier,
  ) {
    this.kind = chooseKind(table, classifier);
    const { columns, texts } = this.kind;
    this.names = freeNames(columns, taken);
    this.header = bytes(this.write(this.names, this.names.length));
    const nothing = table.format === "jsonl" ? "null" : "";
    this.empty = bytes(
      this.write(
        this.names.map(() => nothing),
        0,
      ),
    );
    const text = classifier.adapters.flatMap((name) => classifier.metaOf(name).labels).join(BETWEEN);
    const widest = columns.map((_, i) => (i < texts ? JSON.stringify(text) : "0".repeat(LONGEST_NUMBER)));
    this.longest = Math.max(this.header.length, this.empty.length, bytes(this.write(widest, texts)).length);
  }

  of(result: Labelled): Uint8Array {
    const { texts, numbers } = this.kind.of(result);
    return bytes(this.write([...texts, ...numbers.map((number) => number.toFixed(DECIMALS))]));
  }

  /** The fields at the start of `found`, where `rest` of the row follows; undefined: there are none. */
  find(found: Uint8Array, rest: Uint8Array): Uint8Array | undefined {
    for (let length = 1; length <= Math.min(this.longest, found.length - rest.length); length++)
      if (begins(found, length, rest) && this.isOwn(new TextDecoder().decode(found.subarray(0, length))))
        return found.subarray(0, length);
    return undefined;
  }

  private isOwn(text: string): boolean {
    const { columns, texts, before } = this.kind;
    const written = numbersIn(text).slice(texts - columns.length);
    if (written.length < columns.length - texts) return false;
    const numbers = written.map(Number);
    if (!numbers.every((number, i) => number.toFixed(DECIMALS) === written[i])) return false;
    return before(numbers).some((some) => this.write([...some, ...written]) === text);
  }

  private write(values: readonly string[], texts: number = this.kind.texts): string {
    const { format, separator } = this.table;
    return FORMATS[format](this.names, values, texts, separator);
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

const numbersIn = (text: string): string[] => text.match(NUMBER) ?? [];

/** The columns, all with the same number behind them where the table has one of them already. */
function freeNames(columns: readonly string[], taken: ReadonlySet<string>): string[] {
  for (let i = 1; ; i++) {
    const names = columns.map((name) => (i === 1 ? name : `${name}_${i}`));
    if (!names.some((name) => taken.has(name.toLowerCase()))) return names;
  }
}

/** The rows of a copy, up to the first that is not a row of the table with a label. */
export class Kept {
  /** Bytes of the rows that matched. */
  bytes = 0;

  constructor(
    private readonly file: FileReader | undefined,
    private readonly fields: Fields,
  ) {}

  /** The further fields of the next rows of the table, of those that are in the copy. */
  async match(rows: readonly TableRow[]): Promise<Uint8Array[]> {
    if (this.file === undefined) return [];
    const most = rows.reduce((sum, { bytes }) => sum + bytes.length + this.fields.longest, 0);
    const found = await this.file.read(this.bytes, Math.min(most, this.file.size - this.bytes));
    const matched: Uint8Array[] = [];
    let start = 0;
    for (const row of rows) {
      const fields = this.fieldsIn(row, found.subarray(start));
      if (fields === undefined) break;
      matched.push(fields);
      start += row.bytes.length + fields.length;
    }
    this.bytes += start;
    return matched;
  }

  /** The added fields of the row at the start of the bytes; undefined if it is another row, or cut off. */
  private fieldsIn({ bytes, at, text }: TableRow, found: Uint8Array): Uint8Array | undefined {
    if (at < 0) return begins(found, 0, bytes) ? new Uint8Array() : undefined;
    if (!begins(found, 0, bytes.subarray(0, at))) return undefined;
    const [behind, rest] = [found.subarray(at), bytes.subarray(at)];
    if (text !== null && !isBlank(text)) return this.fields.find(behind, rest);
    const fixed = text === null ? this.fields.header : this.fields.empty;
    return begins(behind, 0, fixed) && begins(behind, fixed.length, rest) ? fixed : undefined;
  }
}

/** The number at the end of a row's further fields. */
export function lastNumber(fields: Uint8Array): number {
  return Number(numbersIn(new TextDecoder().decode(fields)).at(-1));
}

export function begins(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return at + expected.length <= bytes.length && expected.every((byte, i) => byte === bytes[at + i]);
}
