/** Excel files changed at random: their bytes, or the XML of their parts. */
import { unzipSync } from "fflate";
import type { Rng } from "../../src/core/rng.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { sheetData, sheetRow, workbook } from "../helpers/workbook.ts";
import { type Case, fuzz } from "./fuzz.ts";
import { mutateBytes, oneIn } from "./mutate.ts";
import { wildZip } from "./zips.ts";

const STRINGS = "<si><t>a first text &amp; more</t></si><si><r><t>run</t></r><rPh><t>x</t></rPh></si>";
const STYLES = '<numFmts><numFmt numFmtId="165" formatCode="d. mmm"/></numFmts><cellXfs><xf numFmtId="165"/></cellXfs>';
const CELLS = [
  ...[
    '<c t="s"><v>0</v></c>',
    '<c s="0"><v>45292.5</v></c>',
    '<c t="b"><v>1</v></c>',
    '<c r="A17" t="e"><v>#N/A</v></c>',
  ],
  ...["<c><f>A1</f><v>7</v></c>", '<c t="str"><f>A1</f></c>'],
];
const DATA = sheetData(
  sheetRow("text", "label"),
  ...Array.from({ length: 12 }, (_, i) => sheetRow(`text ${i}`, i % 2 ? "ham" : "spam")),
  ...CELLS.map((xml) => sheetRow({ xml }, "ham")),
);
const SHEET = `${DATA}<mergeCells><mergeCell ref="D1:E2"/></mergeCells>`;

/** A text with some of its bytes changed, in half of the cases. */
function changed(rng: Rng, text: string): string {
  return oneIn(rng, 2) ? text : new TextDecoder().decode(mutateBytes(rng, new TextEncoder().encode(text)));
}

let module: Promise<DataModule> | undefined;

fuzz<Case>({
  name: "xlsx",
  count: 200,
  make(rng) {
    const sheets = [
      { name: "S", xml: changed(rng, SHEET) },
      { name: "T", xml: oneIn(rng, 4) ? SHEET : "<sheetData/>" },
    ];
    const book = changed(rng, '<workbookPr date1904="0"/>');
    const bytes = workbook(sheets, { strings: changed(rng, STRINGS), styles: changed(rng, STYLES), book });
    const parts = () => new Map(Object.entries(unzipSync(bytes)));
    return { files: new Map([["x.xlsx", oneIn(rng, 4) ? wildZip(rng, parts()) : bytes]]) };
  },
  async read({ files }) {
    module ??= DataModule.load();
    const file = bytesReader("x.xlsx", files.get("x.xlsx") as Uint8Array);
    const data = await loadDataset({ file }, { module: await module, maxLength: 32, skipFaulty: true });
    return () => {
      data.train.batch(data.train.positions());
    };
  },
});
