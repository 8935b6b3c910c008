/** What holds in every format of tables: the same rows are the same data, and the same faults have their own places. */
import { parquetWriteBuffer } from "hyparquet-writer";
import * as assert from "uvu/assert";
import type { DatasetOptions, DatasetSpec } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { digestData } from "../../../src/data/digest.ts";
import { DataModule } from "../../../src/data/wasm.ts";
import type { ErrorCode } from "../../../src/error-codes.ts";
import { csvField } from "../../../src/io/csv.ts";
import { forgetFile, registerFile } from "../../../src/platform/files.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { fileOf } from "../../helpers/tiny.ts";
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

const OPTIONS = { split: "ordered" } as const;
const module = DataModule.load();
const load = async (spec: DatasetSpec, options: DatasetOptions = {}) =>
  loadDataset(spec, { ...OPTIONS, module: await module, ...options });

for (const [what, table, options, without] of [
  ["classes", CLASSES, {}, []],
  ["pairs", PAIRS, {}, []],
  ["line ends and tabs", [["text", "label"], ...broken], {}, ["tsv"]],
  ["columns of other names", [["Nr", "Art", "Anliegen"], ...ROWS.map(([a, b], i) => [i, b!, a!])], {}, ["memory"]],
  ["scores", [["text", "label"], ...ROWS.map(([text], i) => [text!, i / 4])], { objective: "regression" }, []],
  [
    "a column for each label",
    [["text", "a", "b", "c"], ...flags],
    { objective: "multi-label", labelColumn: "a,b" },
    ["memory"],
  ],
] as [string, Table, DatasetOptions, string[]][])
  test(`${what}: the same data in each format`, async () => {
    const read = async (format: string) => digestData(await load(FORMATS[format]![0](table), options));
    const expected = await read("lines");
    for (const format of Object.keys(FORMATS).filter((name) => !without.includes(name)))
      assert.is(await read(format), expected, format);
  });

test("a folder for each class has the data of a table that is sorted by them", async () => {
  const paths = CLASSES.slice(1).map(([text, label], i) => [`d/${label}/${100 + i}.txt`, `${text}`] as const);
  for (const [path, text] of paths) registerFile(path, new Blob([text]));
  assert.is(await digestData(await load({ file: "d" })), await digestData(await load(FORMATS.csv![0](CLASSES))));
  for (const [path] of paths) forgetFile(path);
});

const ALL = Object.keys(FORMATS);
const FILES = ALL.filter((format) => format !== "memory");
const HAVE_NULL = ["lines", "array", "parquet", "memory"];
const [fifth, eleventh] = [4, 10];
const changed = (at: number, row: Row) => CLASSES.with(at + 1, row) as unknown as Table;

const scored: Table = [["text", "label"], ...ROWS.map(([text], i) => [text!, i === fifth ? "x" : `${i / 4}`])];

for (const [code, table, words, row, formats, options] of [
  ["row-without-label", changed(fifth, ["a text", ""]), [], fifth, ALL, {}],
  ["value-not-text", changed(eleventh, [null, "ham"]), ["text"], eleventh, HAVE_NULL, {}],
  ["class-with-one-row", changed(fifth, ["a text", "other"]), ['"other"'], fifth, ALL, {}],
  ["only-one-class", CLASSES.slice(0, 10) as unknown as Table, ["ham"], null, ALL, {}],
  ["text-column-is-numeric", [["text", "label"], ...ROWS.map(([, b], i) => [i, b!])], ["0, 1"], null, FILES, {}],
  ["no-such-column", CLASSES, ['"texts"', 'did you mean "text"'], null, FILES, { textColumn: "texts" }],
  ["no-rows", [["text", "label"]], [], null, ALL, {}],
  ["score-not-a-number", scored, ["x"], fifth, ALL, { objective: "regression" }],
] as [ErrorCode, Table, string[], number | null, string[], DatasetOptions][])
  test(`${code}: in each format, with its place`, async () => {
    for (const format of formats) {
      const [write, place] = FORMATS[format]!;
      const places = row === null ? [] : [place(row)];
      await assertFails(code, [...words, ...places], () => load(write(table), options));
      if (row === null) continue;
      const { stats } = await load(write(table), { ...options, skipFaulty: true });
      assert.equal([stats.rowsRead, stats.leftOut.rowErrors.map(({ details }) => details.where)], [29, places], format);
    }
  });
