/** Checks SVG and HTML. */
import * as assert from "uvu/assert";

/** Checks that elements are nested correctly and text is escaped. */
export function assertWellFormed(markup: string): void {
  const open: string[] = [];
  for (const [, close, name, rest] of markup.matchAll(/<(\/?)([a-z]+)([^<>]*)>/gi)) {
    if (close) assert.is(open.pop(), name);
    else if (!rest!.endsWith("/")) open.push(name!);
  }
  assert.equal(open, []);
  assert.not.match(markup.replace(/<[^<>]*>/g, ""), /[<>]|&(?!(amp|lt|gt|quot|#\d+);)/);
}
