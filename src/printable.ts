/** Text from outside for terminals, and for lines of which it is a part. */

/** Controls, ends of lines in any language, and marks that show text in another order than it has. */
export const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

export const escapeControl = (sign: string) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** Text for a terminal: control characters are escaped, except line ends and tabs. */
export const printable = (text: string): string =>
  text.replace(CONTROLS, (sign) => (sign === "\n" || sign === "\t" ? sign : escapeControl(sign)));

/** Text as one line, for a terminal or behind the sign of a comment. No-break spaces stay. */
export const printableLine = (text: string): string => printable(text.replaceAll(/[^\S\u00a0]+/g, " ").trim());
