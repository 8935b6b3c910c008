/** What the page shows and knows, without a browser. */

import { h } from "preact";
import { renderToString } from "preact-render-to-string";
import * as assert from "uvu/assert";
import { DEFAULTS } from "../../src/train/options.ts";
import type { PageRun } from "../../src/web/protocol.ts";
import { test } from "../helpers/harness.ts";
import "../helpers/page-state.ts";

/** The text of what a component draws. */
const textOf = (markup: string) => markup.replaceAll(/<[^>]*>/g, "").replaceAll("\u00a0", " ");

test("a head that began with zeros has no size to compare with, and is not said to have stood still", async () => {
  const { Learned } = await import("../../src/web/page/run/learned.tsx");
  const run = { id: "1", record: { options: DEFAULTS } } as PageRun;
  const change = (block: number | null, part: string, norm: number, of: number) => ({ block, part, norm, of });
  const changes = [change(0, "q", 1, 10), change(null, "ln_f", 1, 8), change(null, "head", 2, 0)];
  const text = textOf(renderToString(h(Learned, { run, changes: { kind: "matrix", blocks: 1, changes } as never })));
  assert.match(text, "training moved the final layer norm by 13 % of its size");
  assert.match(text, "The head began with zeros: all that is in it was learned in this run.");
});
