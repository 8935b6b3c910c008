/** What holds in every format of tables: the same rows are the same data, and the same faults have their own places. */
import { parquetWriteBuffer } from "hyparquet-writer";
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import type { DatasetOptions, DatasetSpec } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { digestData } from "../../../src/data/digest.ts";
import { DataModule } from "../../../src/data/wasm.ts";
import { csvField } from "../../../src/io/csv.ts";
import { forgetFile, registerFile } from "../../../src/platform/files.ts";
import type { FileReader } from "../../../src/platform/reader.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { readToLabel } from "../../helpers/tables.ts";
import { fileOf, setsOf } from "../../helpers/tiny.ts";
import { sheetData, sheetRow, workbook } from "../../helpers/workbook.ts";

type Row = readonly (string | number | null)[];
type Table = readonly [names: readonly string[], ...rows: Row[]];

const file = (name: string, content: string | Uint8Array) => ({ file: fileOf(name, content) });
const separated = (separator: string, table: Table) =>
  table.map((row) => `${row.map((cell) => csvField(cell, separator)).join(separator)}\r\n`).join("");
const objects = ([names, ...rows]: Table) =>
  rows.map((row) => JSON.stringify(Object.fromEntries(names.map((name, i) => [name, row[i]]))));
const columns = ([names, ...rows]: Table) =>
  names.map((name, i) => {
    const data = rows.map((row) => row[i]!);
    return { name, data, type: typeof data[0] === "number" ? ("DOUBLE" as const) : ("STRING" as const) };
  });

/** A table in each format, and where its row is, from 0. */
const FORMATS: Record<string, [write: (table: Table) => DatasetSpec, place: (row: number) => string]> = {
  csv: [(table) => file("a.csv", separated(",", table)), (row) => `a.csv:${row + 2}`],
  semicolons: [(table) => file("b.csv", separated(";", table)), (row) => `b.csv:${row + 2}`],
  tsv: [(table) => file("a.tsv", separated("\t", table)), (row) => `a.tsv:${row + 2}`],
  "utf-16": [
    (table) => file("c.csv", Buffer.from(`\ufeff${separated(",", table)}`, "utf16le")),
    (row) => `c.csv:${row + 2}`,
  ],
  lines: [(table) => file("a.jsonl", objects(table).join("\n")), (row) => `a.jsonl:${row + 1}`],
  array: [(table) => file("a.json", `[\n${objects(table).join(",\n")}\n]`), (row) => `a.json:${row + 2}`],
  excel: [
    (table) =>
      file("a.xlsx", workbook([{ name: "S", xml: sheetData(...table.map((row) => sheetRow(...cells(row)))) }])),
    (row) => `a.xlsx:${row + 2}`,
  ],
  parquet: [
    (table) => file("a.parquet", new Uint8Array(parquetWriteBuffer({ columnData: columns(table), rowGroupSize: 7 }))),
    (row) => `a.parquet:${row + 1}`,
  ],
  memory: [
    ([, ...rows]) => ({
      rows: rows.map(
        ([text, label, second]) => ({ text: second === undefined ? text : [text, second], label }) as never,
      ),
    }),
    (row) => `rows[${row}]`,
  ],
};
const ALL = Object.keys(FORMATS);
const cells = (row: Row) => row.map((cell) => cell ?? { xml: "<c/>" });

const TEXTS = [
  'a "quoted", comma; and more',
  "caf\u00e9 \u{1f600} \\u00e9",
  '{"text": [1]}',
  "<b>&amp;</b>",
  "nothing, really",
];
/** Rows of two classes, sorted by them, and with a second text. */
const ROWS: Row[] = Array.from({ length: 30 }, (_, i) => [
  `${TEXTS[i % 5]} ${i}`,
  i < 16 ? "ham" : "spam",
  `${i} or not`,
]);
const CLASSES: Table = [["text", "label"], ...ROWS.map((row) => row.slice(0, 2))];
const PAIRS: Table = [["premise", "label", "hypothesis"], ...ROWS];
const broken = ROWS.map(([text, label], i) => [i === 7 ? `${text}\n\r\nof "lines"\t` : text!, label!]);
const flags = ROWS.map(([text], i) => [text!, i % 2, Number(i % 3 === 0), "other"]);
const labelled = (label: (i: number) => string | number): Table => [
  ["text", "label"],
  ...ROWS.map(([text], i) => [text!, label(i)]),
];
const SCORES = { objective: "regression" } as const;
const LABELS = { objective: "multi-label" } as const;
const FLAGS = { ...LABELS, labelColumn: "a,b" } as const;
const COMMAS = ["3,5", "4", "-0,25", "1,125", ",5", "+2,0", "1,5e1", "7"];
const gaps = ROWS.map(([text], i) => [["", " "][i % 4] ?? text!, `${["", " "][i % 2]}${i % 3} `]);

const OPTIONS = { split: "ordered" } as const;
const module = DataModule.load();
const load = async (spec: DatasetSpec, options: DatasetOptions = {}) =>
  loadDataset(spec, { ...OPTIONS, module: await module, ...options });
const read = (format: string, table: Table, options?: DatasetOptions) => load(FORMATS[format]![0](table), options);
/** The texts of the same table to label. */
const toLabel = (format: string, table: Table, { textColumn }: DatasetOptions) =>
  readToLabel((FORMATS[format]![0](table) as { file: FileReader }).file, { textColumn });
const textsOf = (data: Awaited<ReturnType<typeof load>>) =>
  setsOf(data).flatMap((set) => Array.from(set.positions(), (row) => set.text(row)));

for (const [what, table, options, without] of [
  ["classes", CLASSES, {}, []],
  ["pairs", PAIRS, {}, []],
  ["pairs in another order", PAIRS, { textColumn: "hypothesis,premise" }, ["memory"]],
  ["line ends and tabs", [["text", "label"], ...broken], {}, ["tsv"]],
  ["columns of other names", [["Nr", "Art", "Anliegen"], ...ROWS.map(([a, b], i) => [i, b!, a!])], {}, ["memory"]],
  ["empty texts, and white space around labels", [["text", "label"], ...gaps], {}, []],
  ["scores", labelled((i) => i / 4), SCORES, []],
  ["decimal commas", labelled((i) => COMMAS[i % 8]!), SCORES, []],
  ["a column for each label", [["text", "a", "b", "c"], ...flags], FLAGS, ["memory"]],
] as [string, Table, DatasetOptions, string[]][])
  test(`${what}: the same data in each format, and the same texts of a table to label`, async () => {
    const data = await read("lines", table, options);
    const [expected, texts] = [await digestData(data), textsOf(data)];
    const { textColumn = "text" } = data.origin;
    for (const format of ALL.filter((name) => !without.includes(name))) {
      assert.is(await digestData(await read(format, table, options)), expected, format);
      // The texts of other labels are those of classes.
      if (format === "memory" || options.objective) continue;
      const found = await toLabel(format, table, data.origin);
      assert.equal(found.texts, texts, format);
      assert.equal([found.textColumn, [...new Set(found.names)]], [textColumn, table[0]], format);
    }
  });

test("a folder for each class has the data of a table that is sorted by them", async () => {
  const paths = CLASSES.slice(1).map(([text, label], i) => [`d/${label}/${100 + i}.txt`, `${text}`] as const);
  for (const [path, text] of paths) registerFile(path, new Blob([text]));
  assert.is(await digestData(await load({ file: "d" })), await digestData(await load(FORMATS.csv![0](CLASSES))));
  for (const [path] of paths) forgetFile(path);
});

const FILES = ALL.filter((format) => format !== "memory");
const HAVE_NULL = ["lines", "array", "parquet", "memory"];
const [fifth, eleventh] = [4, 10];
const changed = (at: number, row: Row) => CLASSES.with(at + 1, row) as unknown as Table;
const blank: Table = [["text", "label"], ...ROWS.map(([, label], i) => [["", " "][i % 2]!, label!])];
const flagged = (row: Row, i: number) => (i === eleventh ? [row[0]!, 1, 7] : row.slice(0, 3));

/** The code of a fault, a table with it, words, its row, in which formats; how many rows are skipped for it. */
for (const [code, table, words, row, formats, options, skipped = 1] of [
  ["row-without-label", changed(fifth, ["a text", ""]), [], fifth, ALL, {}],
  ["row-without-label", labelled((i) => (i === fifth ? "" : `${i / 4}`)), [], fifth, ALL, SCORES],
  ["value-not-text", changed(eleventh, [null, "ham"]), ["text"], eleventh, HAVE_NULL, {}],
  ["value-not-text", PAIRS.with(eleventh + 1, ["a", "ham", null]), [], eleventh, HAVE_NULL, {}],
  ["class-with-one-row", changed(fifth, ["a text", "other"]), ['"other"'], fifth, ALL, {}],
  ["only-one-class", CLASSES.slice(0, 10), ["ham"], null, ALL, {}],
  ["text-column-is-numeric", [["text", "label"], ...ROWS.map(([, b], i) => [i, b!])], ["0, 1"], null, FILES, {}],
  ["column-without-text", blank, ["all empty", "21 rows"], null, ALL, {}],
  ["too-few-columns", CLASSES.map(([text]) => [text!]), [], null, FILES, {}],
  ["no-such-column", CLASSES, ['"texts"', 'did you mean "text"'], null, FILES, { textColumn: "texts" }],
  ["no-rows", [["text", "label"]], [], null, ALL, {}],
  ["all-labels-different", labelled((i) => `c${i}`), ["30 labels in 30 rows"], null, FILES, {}],
  ["label-column-is-numeric", labelled((i) => i / 4), ["like a score", 'objective "regression"'], null, ALL, {}],
  [
    "score-not-a-number",
    labelled((i) => (i >> 1 === 2 ? "x" : `${i / 4}`)),
    ["x", "skipFaulty"],
    fifth,
    ALL,
    SCORES,
    2,
  ],
  ["scores-all-equal", labelled(() => 3), ["3"], null, ALL, SCORES],
  ["no-labels", labelled(() => ""), ["empty cells"], null, ALL, LABELS],
  ["label-not-flag", [["text", "a", "b"], ...flags.map(flagged)], ['"b"', "7"], eleventh, FILES, FLAGS, 0],
] as [ErrorCode, Table, string[], number | null, string[], DatasetOptions, number?][])
  test(`${code}: in each format, with its place`, async () => {
    for (const format of formats) {
      const [write, place] = FORMATS[format]!;
      const places = row === null ? [] : [place(row)];
      await assertFails(code, [...words, ...places], () => load(write(table), options));
      if (row === null || skipped === 0) continue;
      const { stats } = await load(write(table), { ...options, skipFaulty: true });
      const found = stats.leftOut.rowErrors.map(({ details }) => details.where);
      assert.equal([stats.rowsRead, stats.leftOut.rows, found], [30 - skipped, skipped, places], format);
    }
  });
