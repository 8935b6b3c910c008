/** Excel files: cells of each type, sheets, merged cells, formulas, and files that are none. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { bytesReader } from "../../../src/data/corpus.ts";
import type { DatasetOptions } from "../../../src/data/dataset-options.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { openSheet } from "../../../src/data/table/sheet.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { readToLabel } from "../../helpers/tables.ts";
import { sheetData, sheetRow, type TestSheet, workbook } from "../../helpers/workbook.ts";

const reader = (bytes: Uint8Array) => bytesReader("a.xlsx", bytes);
const one = (xml: string, parts = {}) => reader(workbook([{ name: "Sheet", xml }], parts));
const ALL = { fractions: [1, 0, 0], split: "ordered" } as const;

test("cells: texts, shared and inline, numbers, dates, true and false, with any prefix and order", async () => {
  const strings =
    "<si><t>first</t></si><si><r><t>two </t></r><r><t>runs &amp; more</t></r><rPh><t>phonetic</t></rPh></si>" +
    "<si><t>_x000D_end</t></si>";
  const styles =
    '<numFmts><numFmt numFmtId="164" formatCode="0.0 &quot;days&quot;"/><numFmt numFmtId="165" formatCode="[$-407]d. mmm yy"/></numFmts>' +
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>' +
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs>';
  const xml = `<x:sheetData><x:row r="1"><x:c r="A1" t="s"><x:v>0</x:v></x:c><x:c r="C1" t="s"><x:v>1</x:v></x:c></x:row>
    <x:row r="4"><x:c r="A4" t="str"><x:f>A1</x:f><x:v>formula</x:v></x:c><x:c r="B4" t="b"><x:v>1</x:v></x:c>
    <x:c r="C4" t="inlineStr"><x:is><x:t>in</x:t><x:t>line</x:t></x:is></x:c></x:row>
    <x:row r="5"><x:c r="A5" s="1"><x:v>45292</x:v></x:c><x:c r="B5" s="3"><x:v>45292.75</x:v></x:c><x:c r="C5" s="2"><x:v>1.1000000000000001</x:v></x:c></x:row>
    <x:row r="6"><x:c r="B6" s="1"><x:v>0.5</x:v></x:c><x:c r="C6" t="s"><x:v>2</x:v></x:c></x:row></x:sheetData>`;
  const rows = async (parts = {}) =>
    (await openSheet(one(xml, { strings, styles, ...parts }))).choose((sample) => sample());
  assert.equal(await rows(), [
    ["first", "", "two runs & more"],
    ["formula", "TRUE", "inline"],
    ["2024-01-01", "2024-01-01T18:00:00", "1.1"],
    ["", "12:00:00", "\rend"],
  ]);
  assert.is((await rows({ book: '<workbookPr date1904="1"/>' }))[2]![0], "2028-01-02");
});

/** A header, and rows of an id, a text and a label. */
const table = (...more: string[]) =>
  sheetData(
    sheetRow("Our tickets"),
    sheetRow("Nr", "Anliegen", "Art"),
    ...Array.from({ length: 12 }, (_, i) => sheetRow(i + 1, `the ${i}th of all texts here`, i % 2 ? "one" : "two")),
    ...more,
  );

test("a table in a sheet: below its title, with columns by their contents; rows by their numbers", async () => {
  const load = (xml: string, options: DatasetOptions = {}) => loadDataset({ file: one(xml) }, { ...ALL, ...options });
  const { train, labels, chosen, origin } = await load(table());
  assert.equal([train.size, labels, train.text(2)], [12, ["one", "two"], "the 2th of all texts here"]);
  assert.is(chosen, 'text: column "Anliegen" (the only texts), label: column "Art" (2 values)');
  assert.equal([origin.textColumn, origin.labelColumn], ["Anliegen", "Art"]);
  const score = await load(table(), { labelColumn: "Nr", objective: "regression" });
  assert.is(score.train.values(4)[0], 5);
  const headless = sheetData(...["one", "two", "one"].map((label, i) => sheetRow(label, `a text of many words ${i}`)));
  assert.equal((await load(headless)).labels, ["one", "two"]);
});

test("cells without a value, and merged ones, are refused in the columns that are read", async () => {
  const load = (xml: string) => loadDataset({ file: one(xml) }, ALL);
  const without = (cell: string) => load(table(sheetRow(13, "some text", { xml: cell })));
  await assertFails("cell-without-value", ['"Art"', "a.xlsx:15", "without its result"], () =>
    without("<c><f>A1</f></c>"),
  );
  await assertFails("cell-without-value", ["#REF!"], () => without('<c t="e"><f>A1</f><v>#REF!</v></c>'));
  const textless = one(table(sheetRow(13, { xml: "<c><f>A1</f></c>" }, "one")));
  await assertFails("cell-without-value", ['"Anliegen"', "a.xlsx:15"], () => readToLabel(textless));
  const { stats } = await loadDataset({ file: textless }, { ...ALL, skipFaulty: true });
  assert.equal([stats.rowsRead, stats.leftOut.rows, stats.leftOut.rowErrors[0]?.details.where], [12, 1, "a.xlsx:15"]);
  await load(table(sheetRow({ xml: '<c t="e"><v>#N/A</v></c>' }, "in another column", "one")));
  const merge = (range: string) => `${table()}<mergeCells><mergeCell ref="${range}"/></mergeCells>`;
  await load(merge("A1:C1"));
  await load(merge("A3:A9"));
  // The second is of the header and the first row.
  for (const range of ["C3:C4", "C2:C3"])
    await assertFails("merged-cells", [`sheet "Sheet", ${range}`], () => load(merge(range)));
});

test("several sheets: the only visible one with cells, or the one that is named; else they are listed", async () => {
  const load = (sheets: TestSheet[], sheet?: string) =>
    loadDataset({ file: reader(workbook(sheets)) }, { ...ALL, ...(sheet ? { sheet } : {}) });
  const filled = { name: "Data", xml: table() };
  const empty = { name: "Sheet2", xml: "<sheetData/>" };
  assert.is((await load([empty, filled, { ...filled, name: "Old", state: "hidden" }])).train.size, 12);
  const two = [filled, { ...filled, name: "More" }];
  await assertFails("several-sheets", ["Data, More", 'sheet "Data"'], () => load(two));
  assert.is((await load(two, "more")).train.size, 12);
  await assertFails("no-such-sheet", ['did you mean "Data"'], () => load(two, "Dta"));
  await assertFails("no-rows", ["Sheet2"], () => load([empty, empty]));
});

test("files that are no workbooks, and too large ones", async () => {
  const good = workbook([{ name: "Sheet", xml: table() }]);
  const row = (attributes: string) => workbook([{ name: "S", xml: `<sheetData><row ${attributes}</row></sheetData>` }]);
  // The size that the archive says a part has, which is also the most that is unpacked.
  const bomb = good.slice();
  const at = new TextDecoder("latin1").decode(bomb).lastIndexOf("xl/worksheets/sheet0.xml") - 46;
  new DataView(bomb.buffer).setUint32(at + 24, 1 << 30, true);
  for (const [code, words, bytes] of [
    ["invalid-xlsx", ["other bytes"], new TextEncoder().encode("text,label\n")],
    ["invalid-xlsx", ["password"], Uint8Array.of(0xd0, 0xcf, 0x11, 0xe0, 1, 2)],
    ["damaged-archive", [], good.slice(0, good.length - 40)],
    // Columns of a sheet need no separators.
    ["too-few-columns", ["add a column of labels"], workbook([{ name: "S", xml: sheetData(sheetRow("text")) }])],
    ["invalid-xlsx", ["no workbook"], workbook([], { main: "xl/" })],
    ["invalid-xlsx", ["a sheet"], workbook([{ name: "Sheet", xml: "<sheetData><row" }])],
    ["invalid-xlsx", ["row 2000000"], row('r="2000000">')],
    ["invalid-xlsx", ["cell ZZZ1"], row('r="1"><c r="ZZZ1"/>')],
    ["exceeds-limit", ["268435456 bytes"], bomb],
  ] as [ErrorCode, string[], Uint8Array][]) {
    const message = await assertFails(code, words, () => loadDataset({ file: reader(bytes) }, ALL));
    assert.not.match(message, "separat");
  }
});
