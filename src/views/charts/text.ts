/** Texts in a picture, for which the browser breaks no lines. */
import { printableLine } from "../../core/printable.ts";

/** The width in pixels, estimated for a wide font: a file does not know the fonts of its reader. */
export function textWidth(text: string, size: number): number {
  const width = (sign: string) => {
    if (/[ .,:;'|!()ijlrtfI-]/.test(sign)) return 0.4;
    if (/[@%MWmw…\u1100-\u{10ffff}]/u.test(sign)) return 1;
    return /[A-Z]/.test(sign) ? 0.75 : 0.63;
  };
  return size * [...text].reduce((sum, sign) => sum + width(sign), 0);
}

/** The text in one line, with "…" for what has no room. */
export function cut(text: string, width: number, size: number): string {
  const line = printableLine(text);
  if (textWidth(line, size) <= width) return line;
  let room = width - textWidth("…", size);
  let shown = "";
  for (const sign of line) {
    room -= textWidth(sign, size);
    if (room < 0) break;
    shown += sign;
  }
  return `${shown}…`;
}

/** The text in lines, broken between words; the last of `most` lines has "…" for the rest. */
export function wrap(text: string, width: number, size: number, most = 3): string[] {
  const lines: string[] = [];
  for (const word of text.split(/[ \n\t]+/)) {
    const longer = `${lines.at(-1) ?? ""} ${word}`.trim();
    if (lines.length > 0 && (lines.length === most || textWidth(longer, size) <= width)) lines.splice(-1, 1, longer);
    else lines.push(word);
  }
  return lines.map((line) => cut(line, width, size));
}
