/** What the page shows and knows, without a browser. */

import { h, type VNode } from "preact";
import { renderToString } from "preact-render-to-string";
import * as assert from "uvu/assert";
import { setting } from "../../src/core/setting.ts";
import type { Problem } from "../../src/data/problems.ts";
import { DEFAULTS, resolveOptions } from "../../src/train/options.ts";
import type { Remedy } from "../../src/web/page/shared/error.tsx";
import type { DataReport, Event, ModelReport, PageRun, WriteRequest } from "../../src/web/protocol.ts";
import { test } from "../helpers/harness.ts";
import { answers, Refusal, tell, until } from "../helpers/page-state.ts";

/** The text of what a component draws. */
const textOf = (markup: string) => markup.replaceAll(/<[^>]*>/g, "").replaceAll("\u00a0", " ");

test("a head that began with zeros has no size to compare with, and is not said to have stood still", async () => {
  const run = { id: "1", record: { options: DEFAULTS } } as PageRun;
  const change = (block: number | null, part: string, norm: number, of: number) => ({ block, part, norm, of });
  const changes = [change(0, "q", 1, 10), change(null, "ln_f", 1, 8), change(null, "head", 2, 0)];
  const { Learned } = await import("../../src/web/page/run/outcome-card.tsx");
  const text = textOf(renderToString(h(Learned, { run, changes: { kind: "matrix", blocks: 1, changes } as never })));
  assert.match(text, "training moved the final layer norm by 13 % of its size");
  assert.match(text, "The head began with zeros: all that is in it was learned in this run.");
});

test("a label that is written from right to left moves nothing beside it in a sentence", async () => {
  const { isolate } = await import("../../src/views/components.tsx");
  const markup = (text: string) => renderToString(h("p", null, isolate(text)));
  assert.is(
    markup("Always guessing شكوى العميل: 56 of 100."),
    "<p>Always guessing <bdi>شكوى العميل</bdi>: 56 of 100.</p>",
  );
  assert.is(markup("Always guessing ham: 56."), "<p>Always guessing ham: 56.</p>");
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

test("a chat goes on with what was said before, until it is begun anew; what was not answered can be sent again", async () => {
  const { choose, model } = await import("../../src/web/page/train/model.ts");
  const { canWrite, columns, forgetChat, message, write, writeError, writeTexts } = await import(
    "../../src/web/page/write/write.ts"
  );
  answers.openModel = (name: string) => ({ ...opened(name), hasChat: true });
  const asked: WriteRequest[] = [];
  answers.write = (request: WriteRequest) => {
    asked.push(request);
    if (asked.length === 3) throw new Refusal({ name: "DeviceError", summary: "no memory" });
    const text = `answer ${asked.length}`;
    tell({ type: "written", chunk: { prompt: 0, text, ids: [1], finish: "stop" }, seconds: 1 });
    return { seconds: 1, stopped: false, device: { kind: "wasm" } };
  };
  choose("chats");
  await until(() => model.value?.name === "chats");
  assert.is(canWrite.value, false, "there is no message");
  assert.is(writeTexts.value.temperature, "0.2");
  const said = [];
  for (const text of ["Hello ", "And you?", "Why?"]) {
    message.value = text;
    await write();
    said.push(message.value);
  }
  assert.equal(said, ["", "", "Why?"]);
  const before = [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "answer 1" },
    { role: "user", content: "And you?" },
  ];
  assert.equal(asked[1]!.prompts, [{ prompt: before, isAdapted: false }]);
  assert.is(writeError.value?.summary, "no memory");
  assert.equal(
    columns.value.map(({ texts }) => texts.map(({ prompt, text }) => [prompt, text])),
    [
      [
        ["Hello", "answer 1"],
        ["And you?", "answer 2"],
      ],
    ],
  );
  forgetChat();
  message.value = "Once more";
  await write();
  assert.equal(asked[3]!.prompts, [{ prompt: [{ role: "user", content: "Once more" }], isAdapted: false }]);
});

/** A table as the worker reports it. */
const reportOf = (roles: Record<string, "text" | "label" | null>, more: Partial<DataReport> = {}): DataReport => ({
  ...{
    blocks: [],
    known: { rows: 40 },
    testRows: 8,
    rows: [],
    needs: {},
    problems: [],
    error: null,
    samples: [],
    labels: [],
  },
  columns: Object.entries(roles).map(([name, readAs]) => ({ name, readAs, kind: "texts" }) as DataReport["columns"][0]),
  ...more,
});

test("how data is read is found or chosen for one file; a click on a heading changes what follows from it", async () => {
  answers.pick = () => {};
  const data = await import("../../src/web/page/data/data.ts");
  const { mark, roleOf, rolesFor } = await import("../../src/web/page/data/columns.ts");
  const { dataSettings, needs, objective, readAs, showReport, takeFiles } = data;
  takeFiles([new File(["label,text\n"], "scores.csv")]);
  await until(() => data.hasData.value);
  const found = { needs: { encoding: "windows-1252", objective: "regression" } } as const;
  assert.ok(showReport(reportOf({ id: null, body: "text", mark: "label" }, found)));
  assert.equal([objective.value, needs.value], ["regression", found.needs]);
  assert.equal(dataSettings.value, { data: "scores.csv" });
  readAs({ objective: "classification" });
  assert.is(objective.value, "classification");

  assert.equal(["id", "body", "mark"].map(roleOf), ["unused", "text", "label"]);
  assert.equal(rolesFor("body"), ["text", "label"]);
  assert.equal(rolesFor("id"), ["text", "second", "label", "unused"]);
  mark("id", "second");
  assert.equal(dataSettings.value, {
    ...{ data: "scores.csv", objective: "classification" },
    ...{ textColumn: "body,id", labelColumn: "mark" },
  });
  mark("body", "label");
  assert.equal([dataSettings.value.textColumn, dataSettings.value.labelColumn], [undefined, "body"]);

  takeFiles([new File(["label,text\n"], "tickets.csv")]);
  assert.equal([objective.value, dataSettings.value], ["classification", { data: "tickets.csv" }]);
  await until(() => data.hasData.value);
  assert.not.ok(showReport(reportOf({}, { needs: { objective: "lm" } })));
  assert.is(objective.value, "classification");
  data.writeInstead();
  assert.equal([objective.value, dataSettings.value.data], ["lm", ["tickets.csv"]]);
});

test("what is to know of data stands with a button that deals with it, and undoes it", async () => {
  const { Notes } = await import("../../src/web/page/data/notes-part.tsx");
  const { set } = await import("../../src/web/page/train/fields.ts");
  const problem = (code: string, settings: object, isNeeded = false) =>
    ({ code, text: code, examples: [], count: 0, settings, isNeeded }) as Problem;
  const problems = [
    problem("scores", { objective: "regression" }, true),
    problem("combined", { objective: "multi-label", labelSeparator: ";" }),
    problem("near-duplicates", { dedupe: true }),
    problem("few-rows", { folds: 5 }),
  ];
  const buttons = () =>
    [...renderToString(h(Notes, { problems })).matchAll(/<button[^>]*>(.*?)<\/button>/g)].map(([, text]) => text);
  assert.equal(buttons(), ["Read them as classes", "Read them as any number a message: a|b", "Leave the copies out"]);
  set("dedupe", true);
  assert.is(buttons().at(-1), "Keep them");
  set("dedupe", false);
});

test("of texts with several labels the further rows alone are left out, and no near-duplicates", async () => {
  const data = await import("../../src/web/page/data/data.ts");
  const { Notes } = await import("../../src/web/page/data/notes-part.tsx");
  const { values } = await import("../../src/web/page/train/fields.ts");
  answers.writeCorrections = () => new Blob([]);
  data.tab.value = "classification";
  data.takeFiles([new File(["label,text\n"], "tickets.csv")]);
  await until(() => data.hasData.value);
  const surplus = [{ row: 7, text: "How do I pay?" }];
  const conflict = { code: "conflicting-labels", text: "1 text", examples: [], count: 1, isNeeded: false, surplus };
  const problems: Problem[] = [{ ...conflict, settings: { dedupe: true } }];
  data.showReport(reportOf({}, { labels: ["billing", "sales"], problems }));
  const ways = () =>
    [Notes({ problems })!.props.children as VNode<{ ways: readonly Remedy[] }>[]]
      .flat(2)
      .flatMap((note) => note.props?.ways ?? []);
  assert.equal(
    ways().map(({ label }) => label),
    ["Keep the first of each"],
  );
  ways()[0]!.take();
  assert.equal(data.corrected.value, [{ ...surplus[0]!, label: "drop" }]);
  assert.is(values.value.dedupe, false);
  // Only a file can be corrected.
  data.messages.source.value = "hub";
  assert.not.match(renderToString(h(Notes, { problems })), "<button");
  data.messages.source.value = "file";
  data.setCorrected([]);
});

test("files that can be read can be chosen", async () => {
  const { DataCard } = await import("../../src/web/page/data/data-card.tsx");
  const { messages, tab } = await import("../../src/web/page/data/data.ts");
  [tab.value, messages.source.value] = ["classification", "file"];
  const accepted = renderToString(h(DataCard, {}))
    .match(/accept="([^"]*)"/)![1]!
    .split(",");
  for (const file of ["a.csv", "a.jsonl", "a.xlsx", "a.parquet"])
    assert.ok(
      accepted.some((ending) => file.endsWith(ending)),
      file,
    );
});

test("a field takes the numbers that a flag takes, and shows what was typed", async () => {
  const { FIELDS } = await import("../../src/web/page/train/field-list.ts");
  const { enter, fieldState, reset, values } = await import("../../src/web/page/train/fields.ts");
  const { number } = await import("../../src/commands/cli.ts");
  const field = FIELDS.find(({ key }) => key === "lr")!;
  const before = values.value.lr;
  const taken = (read: () => void) => {
    try {
      read();
      return true;
    } catch {
      return false;
    }
  };
  for (const text of ["0,001", "0.001", "1e-3", " ", "", "0", "-1", "5", "x"]) {
    enter(field, text);
    const isTaken = taken(() => resolveOptions({ lr: number(text) }));
    assert.is(fieldState(field).isInvalid, !isTaken, text);
    assert.is(values.value.lr, isTaken ? Number(text) : before, text);
    reset();
  }
  enter(field, "0,001");
  const { SettingFields } = await import("../../src/web/page/train/train-card.tsx");
  const markup = renderToString(h(SettingFields, { id: "main", fields: [field] }));
  // A browser makes 0001 of it in a field of type "number".
  assert.match(markup, /type="text"[^>]*value="0,001"|value="0,001"[^>]*type="text"/);
  assert.match(textOf(markup), "Enter a number above 0.");
  reset();
});

test("examples are typed with their labels, or pasted with tabs", async () => {
  const { exampleFiles, examples, examplesHelp } = await import("../../src/web/page/data/examples.ts");
  const read = async (text: string) => {
    examples.value = text;
    await new Promise((resolve) => setTimeout(resolve, 600));
    return exampleFiles.value[0]?.text();
  };
  const lines = (label: string, count: number) => `${label}: a, b\n`.repeat(count);
  assert.is(await read(lines("x", 4)), undefined);
  assert.match(examplesHelp.value, "Write examples of two labels or more");
  assert.is(await read(lines("x", 4) + lines("y", 2)), undefined);
  assert.match(examplesHelp.value, "Write at least 4 examples of “y”: it has 2.");
  assert.is(
    await read(lines("x", 4) + lines("y", 4)),
    `label,text\n${'x,"a, b"\n'.repeat(4)}${'y,"a, b"\n'.repeat(4)}`,
  );
  assert.match(examplesHelp.value, "x 4, y 4.");
  assert.is(await read("Text\tKind\r\na, b\tx\r\n"), 'Text,Kind\n"a, b",x\n');
  const quoted = 'Text\tKind\n"two\nlines"\tx\n';
  assert.is(await read(quoted), quoted);
});

test("a run that cannot start says why, and where to go: a file, a field among others, a base model", async () => {
  const { choose } = await import("../../src/web/page/train/model.ts");
  const { messages, tab } = await import("../../src/web/page/data/data.ts");
  const { examples } = await import("../../src/web/page/data/examples.ts");
  const { FIELDS } = await import("../../src/web/page/train/field-list.ts");
  const { enter, reset } = await import("../../src/web/page/train/fields.ts");
  const { obstacle } = await import("../../src/web/page/train/setup.ts");
  const type = (key: string, text: string) => enter(FIELDS.find((one) => one.key === key)!, text);
  [tab.value, messages.source.value, messages.files.value, examples.value] = ["classification", "file", [], ""];
  assert.equal(obstacle.value, { text: "Choose a file first.", part: "data" });
  messages.source.value = "examples";
  await until(() => obstacle.value?.part === "examples");
  assert.match(obstacle.value!.text, "Write examples of two labels or more");
  messages.source.value = "spam";
  type("seed", "1.5");
  assert.equal(obstacle.value, {
    text: "“Seed” is invalid. Enter a whole number from 0 to 4294967295.",
    part: "field-seed",
  });
  type("rank", "");
  assert.is(obstacle.value!.part, "field-rank");
  reset();
  assert.is(obstacle.value, null);
  choose("from-folder");
  assert.equal(obstacle.value, { text: "Choose a base model first.", part: "model" });
});

test("a link with values that a field does not take is read without them, and they are named", async () => {
  const { location } = await import("../helpers/page-state.ts");
  const { linkError, restore } = await import("../../src/web/page/train/setup.ts");
  const { reset, values } = await import("../../src/web/page/train/fields.ts");
  location.hash = "#epochs=abc&rank=4&mode=nothing&foo=1";
  restore();
  assert.equal([values.value.rank, linkError.value!.found], [4, "epochs=abc, mode=nothing, foo=1"]);
  assert.not.match(String(values.value.epochs), "abc");
  reset();
});

test("what a result advises is a button, which takes the run's settings with it into the form; so are those of any run", async () => {
  const { waysAfter } = await import("../../src/web/page/run/ways.tsx");
  const { takeSettings } = await import("../../src/web/page/train/setup.ts");
  const { reset, values } = await import("../../src/web/page/train/fields.ts");
  const settings = { dataset: "languages", rank: 4, epochs: 3 };
  const run = { id: "1", model: "one", record: { settings, options: DEFAULTS } } as unknown as PageRun;
  const advice = `Try the table (${setting("targets", "all,wte")}), or all (${setting("mode", "all")}), or ${setting("folds", 5)}.`;
  const shown = waysAfter(run)(advice).flatMap((button) => button ?? []);
  assert.equal(
    shown.map((button) => textOf(renderToString(button))),
    [
      "Train again with “Target matrices: all, token table”",
      "Train again with “Method: full fine-tuning (all parameters)”",
    ],
  );
  (shown[0]!.props as { onClick(): void }).onClick();
  assert.equal([values.value.rank, values.value.epochs, values.value.targets.includes("wte")], [4, 3, true]);
  takeSettings(run);
  assert.equal([values.value.rank, values.value.targets.includes("wte")], [4, false]);
  reset();
});

test("a view that was chosen stays when another run is shown, also until what is in it is known", async () => {
  const { look, runs } = await import("../../src/web/page/runs/runs.ts");
  const { takeable } = await import("../../src/web/page/run/take.ts");
  const { view } = await import("../../src/web/page/run/view.ts");
  const run = (id: string) =>
    ({
      id,
      state: "loaded",
      usable: true,
      record: { objective: "classification", options: DEFAULTS },
    }) as unknown as PageRun;
  runs.value = ["one", "other"].map(run);
  answers.take = () => ({});
  look(run("one"));
  await until(() => takeable.value !== null);
  view.value = "take";
  look(run("other"));
  assert.is(takeable.value, null);
  assert.is(view.value, "take");
});
