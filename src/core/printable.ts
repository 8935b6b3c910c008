/** Text from outside for terminals, and for lines of which it is a part. */

/**
 * Text for a terminal: escapes control characters, except line ends and tabs, and marks that show text in another order
 * than it has.
 */
export function printable(text: string): string {
  return text.replace(
    /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Text as one line, for a terminal or behind the sign of a comment. No-break spaces stay. */
export const printableLine = (text: string): string => printable(text.replaceAll(/[^\S\u00a0]+/g, " ").trim());
