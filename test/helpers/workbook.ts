/** Excel files for tests, part by part. */
import { zipSync } from "fflate";

const RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const relations = (list: readonly (readonly [type: string, target: string])[]) =>
  `<Relationships>${list
    .map(([type, target], i) => `<Relationship Id="r${i}" Type="${RELATIONS}/${type}" Target="${target}"/>`)
    .join("")}</Relationships>`;

/** A sheet by its name and the XML within `<worksheet>`; its state, such as "hidden". */
export interface TestSheet {
  name: string;
  xml: string;
  state?: string;
}

/** Cells of a row, in this order: texts inline, numbers as they are, others as XML. */
export const sheetRow = (...cells: (string | number | { xml: string })[]) =>
  `<row>${cells
    .map((cell) =>
      typeof cell === "string"
        ? `<c t="inlineStr"><is><t>${cell.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</t></is></c>`
        : typeof cell === "number"
          ? `<c><v>${cell}</v></c>`
          : cell.xml,
    )
    .join("")}</row>`;

/** Rows as the data of a sheet. */
export const sheetData = (...rows: string[]) => `<sheetData>${rows.join("")}</sheetData>`;

/** The bytes of a workbook; `book` are further elements of workbook.xml, before its sheets. */
export function workbook(
  sheets: readonly TestSheet[],
  { strings = "", styles = "", book = "", main = "xl/workbook.xml" } = {},
): Uint8Array {
  const encode = (text: string) => new TextEncoder().encode(`<?xml version="1.0" encoding="UTF-8"?>\n${text}`);
  const list = sheets.map(({ name, state }, i) => `<sheet name="${name}" r:id="r${i}" state="${state ?? "visible"}"/>`);
  const targets = sheets.map((_, i) => ["worksheet", `worksheets/sheet${i}.xml`] as const);
  return zipSync({
    "_rels/.rels": encode(relations([["officeDocument", main]])),
    "xl/workbook.xml": encode(`<workbook>${book}<sheets>${list.join("")}</sheets></workbook>`),
    "xl/_rels/workbook.xml.rels": encode(
      relations([...targets, ["sharedStrings", "/xl/sharedStrings.xml"], ["styles", "styles.xml"]]),
    ),
    "xl/sharedStrings.xml": encode(`<sst>${strings}</sst>`),
    "xl/styles.xml": encode(`<styleSheet>${styles}</styleSheet>`),
    ...Object.fromEntries(
      sheets.map(({ xml }, i) => [`xl/worksheets/sheet${i}.xml`, encode(`<worksheet>${xml}</worksheet>`)]),
    ),
  });
}
