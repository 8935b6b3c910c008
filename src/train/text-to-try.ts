/** A message to try a model with: it is printed into code and commands. */

/** Characters that need no escape in any shell, language or page. */
const PLAIN = /^[\p{L}\p{N}][\p{L}\p{N} ,.?']{0,59}$/u;
/** The fewest characters of a meaningful message. */
const TELLING = 20;

/** The first plain text; `texts` are in the order of preference. */
export function textToTry(texts: Iterable<string>): string {
  let short: string | undefined;
  for (const text of texts) {
    if (!PLAIN.test(text)) continue;
    if (text.length >= TELLING) return text;
    short ??= text;
  }
  return short ?? "some text";
}
