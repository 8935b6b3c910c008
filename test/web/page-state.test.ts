/** What the page shows and knows, without a browser. */

import { h } from "preact";
import { renderToString } from "preact-render-to-string";
import * as assert from "uvu/assert";
import { DEFAULTS } from "../../src/train/options.ts";
import type { Event, ModelReport, PageRun } from "../../src/web/protocol.ts";
import { test } from "../helpers/harness.ts";
import { answers, tell, until } from "../helpers/page-state.ts";

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

/** A base model that is open. */
const opened = (name: string): ModelReport => ({
  ...{ name, values: 7e6, modes: ["lora"], hasChat: false },
  config: { n_layer: 4, n_head: 4, n_embd: 128, vocab_size: 50257, n_positions: 1024 } as ModelReport["config"],
});

test("what one base model has written is not shown under the name of another", async () => {
  answers.openModel = opened;
  answers.write = () => {
    tell({ type: "written", chunk: { prompt: 0, text: "the end", ids: [1, 2], finish: "end" }, seconds: 1 } as Event);
    return { seconds: 1, stopped: false, device: { kind: "wasm" } };
  };
  const { choose, model } = await import("../../src/web/page/train/model.ts");
  const { columns, write, writeStatus } = await import("../../src/web/page/write/write.ts");
  choose("one");
  await until(() => model.value?.name === "one");
  await write();
  assert.is(columns.value[0]!.texts[0]!.text, "the end");
  assert.match(writeStatus.value, "Done: 2 tokens, 2 per second.");
  choose("two");
  await until(() => model.value?.name === "two");
  assert.equal([columns.value, writeStatus.value], [[], ""]);
});

test("the kind of the labels is that of one file: the next is read with classes at first", async () => {
  const { labelsAre, objective, takeFiles } = await import("../../src/web/page/data/data.ts");
  takeFiles([new File(["label,text\n"], "scores.csv")]);
  labelsAre.value = "regression";
  assert.is(objective.value, "regression");
  takeFiles([new File(["label,text\n"], "tickets.csv")]);
  assert.is(objective.value, "classification");
});
