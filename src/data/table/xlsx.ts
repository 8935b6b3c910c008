/** Excel files (.xlsx): the rows of a sheet as texts. */
import { Parser } from "saxen";
import { DataError, FormatError, nameList } from "../../core/errors.ts";
import { either, setting } from "../../core/setting.ts";
import { nearest } from "../../core/suggest.ts";
import { LIMITS } from "../../io/limits.ts";
import { openZip } from "../../io/unzip.ts";
import { checkSize, type FileReader } from "../../platform/reader.ts";
import { Fault } from "./cells.ts";

/** A row by its number in the sheet; empty cells may be missing. */
export interface SheetRow {
  number: number;
  cells: readonly (string | Fault | undefined)[];
}

export interface Sheet {
  name: string;
  rows: readonly SheetRow[];
  /** Cells that span several columns or rows, such as "A2:A5", by their corners from 0. */
  merged: readonly { range: string; columns: [number, number]; rows: [number, number] }[];
}

/** The most columns and rows of a sheet. */
const MOST = { columns: 1 << 14, rows: 1 << 20 };

type Attributes = Readonly<Record<string, string | undefined>>;

interface Hooks {
  open?(name: string, attributes: () => Attributes): void;
  text?(text: string): void;
  close?(name: string): void;
}

/** Reads XML; names come without their prefixes. Throws an error that says where it is invalid. */
function parseXml(xml: string, { open, text, close }: Hooks): void {
  const plain = (name: string) => name.slice(name.indexOf(":") + 1);
  const parser = new Parser();
  if (open)
    parser.on("openTag", (name, attributes, decode) =>
      open(plain(name), () => {
        const found: Record<string, string> = {};
        for (const [key, value] of Object.entries(attributes())) found[plain(key)] = decode(value);
        return found;
      }),
    );
  if (close) parser.on("closeTag", (name) => close(plain(name)));
  if (text) {
    parser.on("text", (value, decode) => text(decode(value)));
    parser.on("cdata", text);
  }
  parser.on("error", (error) => {
    throw error;
  });
  parser.parse(xml);
}

/**
 * Reads a sheet: the one of this name, or the only one that is visible and has cells. Throws DataError, which names them,
 * if there are several; FormatError for a file that is no workbook.
 */
export async function readSheet(file: FileReader, asked?: string): Promise<Sheet> {
  const book = await Workbook.open(file);
  const { name, path } = await chooseSheet(book, asked);
  return { name, ...parseSheet(book, await book.read(path)) };
}

interface SheetEntry {
  name: string;
  path: string;
  isHidden: boolean;
}

/** A sheet has the rows of a workbook if its XML is so many times the next one's. */
const CLEARLY_LARGER = 3;

async function chooseSheet(book: Workbook, asked: string | undefined): Promise<SheetEntry> {
  const { sheets, where } = book;
  const names = sheets.map(({ name }) => name);
  if (asked !== undefined) {
    const found =
      sheets.find(({ name }) => name === asked) ??
      sheets.find(({ name }) => name.trim().toLowerCase() === asked.trim().toLowerCase());
    if (found) return found;
    const near = nearest(asked, names);
    throw new DataError("no-such-sheet", `There is no sheet "${asked}"`, {
      where,
      found: nameList(names),
      hint: near && `did you mean "${near}"?`,
    });
  }
  const visible = sheets.filter(({ isHidden }) => !isHidden);
  if (visible.length === 1) return visible[0]!;
  const filled: SheetEntry[] = [];
  // The largest is likelier to have the rows than a first one of notes.
  let [largest, next] = [{ name: "", size: 0 }, 0];
  for (const sheet of visible) {
    const xml = await book.read(sheet.path);
    if (!/<(\w+:)?(v|t)[ >]/.test(xml)) continue;
    filled.push(sheet);
    next = Math.max(next, Math.min(largest.size, xml.length));
    if (xml.length > largest.size) largest = { name: sheet.name, size: xml.length };
  }
  if (filled.length === 1) return filled[0]!;
  if (filled.length === 0)
    throw new DataError("no-rows", "The file has no sheet with cells", { where, found: nameList(names) });
  const found = filled.map(({ name }) => name);
  throw new DataError("several-sheets", "The file has several sheets", {
    where,
    expected: "one sheet, or the name of one of them",
    found: nameList(found),
    sheets: found,
    isGuess: largest.size < CLEARLY_LARGER * next,
    hint: either(`name the sheet with ${setting("sheet", largest.name)}`, "save it as a file of its own"),
  });
}

/** The first bytes of a zip file, and of what Excel wrote before .xlsx, and still writes with a password. */
const [ZIP, OLD] = [0x504b0304, 0xd0cf11e0];

class Workbook {
  sheets: SheetEntry[] = [];
  /** Shared strings, and by the number of a cell's style whether it is a date. */
  strings: string[] = [];
  dateStyles: boolean[] = [];
  /** Days before the dates of Excel on old Macs. */
  firstDay = 0;
  private opened = 0;

  private constructor(
    readonly where: string,
    private readonly parts: Awaited<ReturnType<typeof openZip>>,
  ) {}

  static async open(file: FileReader): Promise<Workbook> {
    checkSize(file, LIMITS.workbook);
    const start = await file.read(0, Math.min(4, file.size));
    const first = start.length < 4 ? 0 : new DataView(start.buffer, start.byteOffset).getUint32(0);
    if (first !== ZIP)
      throw new FormatError("invalid-xlsx", "The file is not an .xlsx file", {
        where: file.name,
        found: first === OLD ? "an old .xls file, or one with a password" : "other bytes",
        hint: "save it as .xlsx without a password, or as CSV in UTF-8",
      });
    const book = new Workbook(file.name, await openZip(file));
    await book.readParts();
    return book;
  }

  /** The text of a part. Throws FormatError if it is missing, or if the parts become too large. */
  async read(path: string): Promise<string> {
    const part = this.parts.get(path);
    if (!part) this.refuse(`no ${path}`);
    this.opened += part.size;
    checkSize({ name: `${this.where}, unpacked`, size: this.opened }, LIMITS.workbook);
    return new TextDecoder().decode(await part.read(0, part.size));
  }

  parse(path: string, xml: string, hooks: Hooks): void {
    try {
      parseXml(xml, hooks);
    } catch (cause) {
      if (cause instanceof FormatError) throw cause;
      this.refuse(`${path}: ${(cause as Error).message}`, cause);
    }
  }

  refuse(found: string, cause?: unknown): never {
    throw new FormatError("invalid-xlsx", "The file is not a valid .xlsx file", { where: this.where, found, cause });
  }

  private async readParts(): Promise<void> {
    const main = (await this.relations("_rels/.rels", "")).find(({ type }) => type.endsWith("/officeDocument"));
    const [, folder = "", name] = /^(.*\/)?([^/]+)$/.exec(main?.path ?? "") ?? [];
    if (!main || name === undefined) this.refuse("no workbook");
    const relations = await this.relations(`${folder}_rels/${name}.rels`, folder);
    const pathOf = (ending: string) => relations.find(({ type }) => type.endsWith(ending))?.path;
    const xml = await this.read(main.path);
    this.parse(main.path, xml, {
      open: (tag, read) => {
        const attributes = read();
        if (tag === "workbookPr" && /^(1|true)$/.test(attributes.date1904 ?? "")) this.firstDay = 1462;
        if (tag !== "sheet") return;
        const target = relations.find(({ id }) => id === attributes.id);
        // Sheets of charts have no rows.
        if (target?.type.endsWith("/worksheet"))
          this.sheets.push({
            ...{ name: attributes.name ?? "", path: target.path },
            isHidden: /hidden/i.test(attributes.state ?? ""),
          });
      },
    });
    const [strings, styles] = [pathOf("/sharedStrings"), pathOf("/styles")];
    if (strings !== undefined) this.strings = readStrings(this, strings, await this.read(strings));
    if (styles !== undefined) this.dateStyles = readStyles(this, styles, await this.read(styles));
  }

  private async relations(path: string, folder: string) {
    const found: { id: string; type: string; path: string }[] = [];
    const xml = await this.read(path);
    this.parse(path, xml, {
      open: (tag, read) => {
        const { Id: id = "", Type: type = "", Target: target = "" } = read();
        if (tag !== "Relationship") return;
        found.push({ id, type, path: target.startsWith("/") ? target.slice(1) : folder + target });
      },
    });
    return found;
  }
}

/** Characters that XML cannot have, as Excel writes them. */
const unescaped = (text: string) =>
  text.replace(/_x([0-9A-Fa-f]{4})_/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));

function readStrings(book: Workbook, path: string, xml: string): string[] {
  const strings: string[] = [];
  let [text, isText, isPhonetic] = ["", false, false];
  book.parse(path, xml, {
    open(tag) {
      if (tag === "si") text = "";
      if (tag === "rPh") isPhonetic = true;
      if (tag === "t") isText = !isPhonetic;
    },
    text(value) {
      if (isText) text += value;
    },
    close(tag) {
      if (tag === "t") isText = false;
      if (tag === "rPh") isPhonetic = false;
      if (tag === "si") strings.push(unescaped(text));
    },
  });
  return strings;
}

/** Numbers of formats that are dates or times in every workbook. */
const isUsualDate = (id: number) => (id >= 14 && id <= 22) || (id >= 27 && id <= 36) || (id >= 45 && id <= 58);

/** Whether a format has the letters of dates outside of quoted text, colours and escaped signs. */
const isDateFormat = (code: string) => /[dmyhs]/i.test(code.replace(/"[^"]*"|\[(?![hms]+\])[^\]]*\]|[\\_*]./gi, ""));

function readStyles(book: Workbook, path: string, xml: string): boolean[] {
  const formats = new Map<number, string>();
  const styles: boolean[] = [];
  let isCell = false;
  book.parse(path, xml, {
    open(tag, read) {
      const { numFmtId, formatCode } = read();
      if (tag === "numFmt") formats.set(Number(numFmtId), formatCode ?? "");
      if (tag === "cellXfs") isCell = true;
      if (tag !== "xf" || !isCell) return;
      const code = formats.get(Number(numFmtId));
      styles.push(code === undefined ? isUsualDate(Number(numFmtId)) : isDateFormat(code));
    },
    close(tag) {
      if (tag === "cellXfs") isCell = false;
    },
  });
  return styles;
}

const DAY = 86_400_000;

/** A day's number as a date, with its time if it has one, or as a time alone. */
function dateText(days: number): string {
  const date = new Date(Math.round((days - 25_569) * 86_400) * 1000);
  if (!Number.isFinite(date.getTime())) return String(days);
  const text = date.toISOString().slice(0, 19);
  return days < 1 ? text.slice(11) : date.getTime() % DAY === 0 ? text.slice(0, 10) : text;
}

/** The column, from 0, and the row of a reference such as "AB12". */
function parseReference(reference: string): [column: number, row: number] {
  const [, letters = "", digits = ""] = /^\$?([A-Z]{1,3})\$?(\d{1,7})$/.exec(reference) ?? [];
  let column = 0;
  for (const letter of letters) column = 26 * column + letter.charCodeAt(0) - 64;
  return [column - 1, Number(digits)];
}

function parseSheet(book: Workbook, xml: string): Omit<Sheet, "name"> {
  const rows: SheetRow[] = [];
  const merged: Sheet["merged"][number][] = [];
  let cells: (string | Fault | undefined)[] = [];
  let [row, column] = [0, -1];
  let [type, style, value, hasFormula, isValue] = ["n", 0, "", false, false];
  const hooks: Hooks = {
    open(tag, read) {
      if (tag === "f") hasFormula = true;
      else if (tag === "rPh") isValue = false;
      else if (tag === "v" || tag === "t") isValue = true;
      if (!/^(row|c|mergeCell)$/.test(tag)) return;
      const { r, t = "n", s = -1, ref } = read();
      if (tag === "row") {
        const number = Number(r ?? row + 1);
        if (!(number > row && number <= MOST.rows)) book.refuse(`a row ${r} behind row ${row}`);
        [row, column, cells] = [number, -1, []];
      } else if (tag === "c") {
        column = r === undefined ? column + 1 : parseReference(r)[0];
        if (!(column >= 0 && column < MOST.columns)) book.refuse(`a cell ${r} in row ${row}`);
        [type, style, value, hasFormula] = [t, Number(s), "", false];
      } else if (ref) {
        const [from, to] = ref.split(":").map(parseReference) as [[number, number], [number, number]?];
        if (to) merged.push({ range: ref, columns: [from[0], to[0]], rows: [from[1], to[1]] });
      }
    },
    text(text) {
      if (isValue) value += text;
    },
    close(tag) {
      if (tag === "v" || tag === "t") isValue = false;
      else if (tag === "c") {
        const cell = cellText(book, { type, style, value, hasFormula });
        if (cell !== "") cells[column] = cell;
      } else if (tag === "row" && cells.length > 0) rows.push({ number: row, cells });
    },
  };
  book.parse("a sheet", xml, hooks);
  return { rows, merged };
}

/** The text of a cell by its type; of a number also by its style. */
function cellText(
  { strings, dateStyles, firstDay }: Workbook,
  cell: { type: string; style: number; value: string; hasFormula: boolean },
): string | Fault {
  const { type, style, value, hasFormula } = cell;
  if (type === "e") return new Fault(value);
  if (value === "") return hasFormula && type !== "str" ? new Fault("a formula without its result") : "";
  if (type === "s") return strings[Number(value)] ?? new Fault(`text ${value}, which the file lacks`);
  if (type === "b") return value === "1" ? "TRUE" : "FALSE";
  if (type === "str" || type === "inlineStr") return unescaped(value);
  const number = Number(value);
  if (type !== "n" || !Number.isFinite(number)) return value;
  return dateStyles[style] ? dateText(number + firstDay) : String(number);
}
