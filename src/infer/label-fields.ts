/** The added fields of a labelled table: how its rows are written, and found again in a copy. */
import type { DataFormat } from "../data/dialect.ts";
import { csvField } from "../io/csv.ts";
import type { FileReader } from "../platform/reader.ts";
import type { Classification, Classifier } from "./classifier.ts";
import type { Table, TableRow } from "./table.ts";

type Pair = readonly [label: string, probability: string];

/** Further fields of a row as they stand in a file of the format. */
const FIELDS: Record<DataFormat, (names: Pair, values: Pair, separator: string) => string> = {
  csv: (_, values, separator) => values.map((value) => separator + csvField(value, separator)).join(""),
  tsv: (_, values) => values.map((value) => `\t${value.replace(/[\t\r\n]/g, " ")}`).join(""),
  jsonl: ([label, probability], values) => `,"${label}":${JSON.stringify(values[0])},"${probability}":${values[1]}`,
};

/** Decimals of a probability. Every one has the same length. */
const DECIMALS = 6;
const DIGITS = 2 + DECIMALS;

/** Further fields of a copy's rows, as bytes. */
export class Fields {
  /** Of the header. */
  readonly header: Uint8Array;
  /** Of a row with each label. They end with a probability, of which only the form counts. */
  readonly forms: readonly Uint8Array[];

  constructor(
    private readonly table: Table,
    private readonly names: Pair,
    classifier: Classifier,
  ) {
    this.header = this.encode(names);
    this.forms = possibleLabels(table, classifier).map((label) => this.encode([label, "0".repeat(DIGITS)]));
  }

  of({ label, probability }: Classification): Uint8Array {
    return this.encode([label, probability.toFixed(DECIMALS)]);
  }

  private encode(values: Pair): Uint8Array {
    const { format, separator } = this.table;
    return new TextEncoder().encode(FIELDS[format](this.names, values, separator));
  }
}

/** The labels that rows can have. */
function possibleLabels({ adapterColumn }: Table, classifier: Classifier): readonly string[] {
  if (adapterColumn === undefined) return classifier.labels;
  return [...new Set(classifier.adapters.flatMap((name) => classifier.metaOf(name).labels))];
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
    const { header, forms } = this.fields;
    const longest = Math.max(header.length, ...forms.map(({ length }) => length));
    const most = rows.reduce((sum, { bytes }) => sum + bytes.length + longest, 0);
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
    const { header, forms } = this.fields;
    for (const form of text === null ? [header] : forms) {
      const fields = found.subarray(at, at + form.length);
      const isForm =
        text === null
          ? begins(fields, 0, header)
          : begins(fields, 0, form.subarray(0, -DIGITS)) && isProbability(probabilityIn(fields));
      if (isForm && begins(found, at + form.length, bytes.subarray(at))) return fields;
    }
    return undefined;
  }
}

/** The probability at the end of a row's further fields. */
export function probabilityIn(fields: Uint8Array): string {
  return String.fromCharCode(...fields.subarray(-DIGITS));
}

/** Whether a text has the form of a written probability. */
function isProbability(text: string): boolean {
  const value = Number(text);
  return value >= 0 && value <= 1 && value.toFixed(DECIMALS) === text;
}

export function begins(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return at + expected.length <= bytes.length && expected.every((byte, i) => byte === bytes[at + i]);
}
