/**
 * Words from outside (labels, names, texts, settings of someone else's file) in what is generated: one function a
 * language. A word never ends the string, the comment, the line or the element that it stands in.
 */
import type { TextOrPair } from "./pair.ts";
import { printable, printableLine } from "./printable.ts";

/** A value of texts and numbers as a literal, which is the same in Python, JavaScript, JSON and YAML. */
export const literal = (value: string | number | object): string => printable(JSON.stringify(value));

/** A literal of JavaScript within a page: no text in it ends the script. */
export const scriptLiteral = (value: string | object): string => literal(value).replaceAll("<", "\\u003c");

/** The beginning of what a spreadsheet takes for a formula, with an apostrophe or without. */
const FORMULA = /^'?(?=\s*[=+\-@＝＋－＠])/;

/** Text in a cell of a table that is opened in a spreadsheet: behind an apostrophe where it would be a formula. */
export const cellText = (text: string): string => text.replace(FORMULA, "'");

/**
 * Whether a cell has a text as `cellText` writes it, or what a spreadsheet makes of that, which writes white space,
 * case and numbers in its own way, long ones with some of their digits. Of a pair both are compared.
 */
export function isSameCell(cell: TextOrPair, text: TextOrPair): boolean {
  const plain = (one: string) => one.replace(FORMULA, "").replace(/\s+/g, " ").trim().toLowerCase();
  const texts = [text].flat().map(plain);
  return [cell]
    .flat()
    .map(plain)
    .every((a, i) => {
      const b = texts[i]!;
      const digits = /^-?\d\.(\d{5,15})e/.exec(a)?.[1]?.length;
      return a === b || (b !== "" && Number(a) === Number(digits ? Number(b).toExponential(digits) : b));
    });
}

/** Text of HTML, also in a quoted attribute: what is invisible, too, is a character reference. */
export const htmlText = (text: string): string =>
  text.replaceAll(/[&<>"'\p{C}\p{Zl}\p{Zp}]/gu, (sign) => `&#${sign.codePointAt(0)};`);

/**
 * The name of a file about some data, a file or a data set: it has letters and digits alone, which every file system
 * takes: "spam-adapter.zip", "tickets-adapter.zip" of tickets.csv.
 */
export function nameFile(data: string, what: string): string {
  const words =
    data
      .normalize()
      .replaceAll(/(\.[a-z]\w{0,7})+(?=,|$)/gi, "")
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  const stem = [...words.join("-")].slice(0, MOST_STEM).join("");
  return stem === "" ? what : `${stem}-${what}`;
}

/** Characters of the data's name in that of a file. */
const MOST_STEM = 40;

/** The address in a link of HTML or Markdown. */
export const linkTarget = (address: string): string =>
  encodeURI(address.toWellFormed()).replaceAll(/[()']/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);

/** Text within a line of Markdown. No-break spaces become spaces: who searches the file types those. */
export const markdownText = (text: string): string =>
  printableLine(text.replaceAll("\u00a0", " ")).replaceAll(/[\\|`*_<>[\]&~$]/g, "\\$&");

/** Text that begins a paragraph or an item of a list in Markdown: it begins nothing else, such as a heading. */
export const markdownLine = (text: string): string => markdownText(text).replace(/^(\d*)([-+#=.)])/, "$1\\$2");

/** A block of code in Markdown. */
export function markdownFence(language: string, code: readonly string[]): string[] {
  const longest = Math.max(2, ...(code.join("\n").match(/`+/g) ?? []).map(({ length }) => length));
  const marks = "`".repeat(longest + 1);
  return [`${marks}${language}`, ...code, marks];
}

/** A word of a command line, in quotes where the shell needs them: bash and its like, or those of Windows. */
export function shellWord(word: string, isWindows = false): string {
  const line = printableLine(word);
  if (/^[\w@%+=:,./\\-]+$/.test(line) && (isWindows || !line.includes("\\"))) return line;
  // Double quotes mean the same to every shell, unless the word has a character that a POSIX shell expands in them.
  if (isWindows || !/["$`\\!]/.test(line)) return `"${line}"`;
  return `'${line.replaceAll("'", "'\\''")}'`;
}
