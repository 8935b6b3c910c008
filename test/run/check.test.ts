/** What check finds in data, and that the settings which it finds read it: no problem ends the reading but the last. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { DatasetOptions } from "../../src/data/dataset-options.ts";
import { isCertain } from "../../src/data/problems.ts";
import { describeModel } from "../../src/io/hf.ts";
import { checkData, readAsMeant } from "../../src/run/check.ts";
import { loadData, resolveSettings } from "../../src/run/load-data.ts";
import type { RunSettings } from "../../src/train/settings.ts";
import { checkBlocks } from "../../src/views/check.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const directory = tinyModel(mkdtempSync(join(folder, "model-")));
let model: ReturnType<typeof describeModel> | undefined;

/** The check of a file with this content. */
function check(name: string, content: string | Uint8Array, given: RunSettings = {}) {
  const data = join(folder, name);
  writeFileSync(data, content);
  return checkData(
    { data, maxLength: 32, ...given },
    {
      complete: (settings) => ({ ...settings, model: "tiny" }),
      openModel: () => (model ??= describeModel(directory)),
      load: (source, base, onTable) => loadData(source, base, {}, onTable),
    },
  );
}

/** Reads a file as a run does. */
async function readByRun(name: string, content: string | Uint8Array) {
  const data = join(folder, name);
  writeFileSync(data, content);
  const base = await describeModel(directory);
  const read = (settings: RunSettings, onTable: DatasetOptions["onTable"]) =>
    resolveSettings({ ...settings, model: "tiny" }, base, undefined, (source) => loadData(source, base, {}, onTable));
  return readAsMeant({ data, maxLength: 32 }, read, isCertain);
}

const TOPICS = ["billing", "login", "parcel"];
const topic = (i: number) => TOPICS[i % 3]!;
/** A text of its own for each row. */
const text = (i: number) =>
  `a question on ${topic(i)} of the number ${String.fromCharCode(97 + (i % 26))}${i % 7} ${"please ".repeat(i % 5)}`;
const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => `${line(i)}\n`).join("");
/** Sentences of four words with a tag each. */
const tagged = (separator: string, tag: (i: number) => string) =>
  lines(200, (i) => (i % 5 === 4 ? "" : `word${i % 9}${separator}${tag(i)}`));

/** The settings that were found, without those that were given. */
const found = ({ settings: { data: _, maxLength: _m, ...rest } }: { settings: RunSettings }) => rest;

test("each kind of file is read with the settings that it needs", async () => {
  const open = `body,first,second\n${lines(60, (i) => `"${text(i)}",${["new", "old"][i % 2]},${topic(i)}`)}`;
  const pairs = `x,y,kind\n${lines(60, (i) => `"${text(i)}","${text(i + 1)}",${topic(i)}`)}`;
  const completions = lines(60, (i) => JSON.stringify({ prompt: text(i), completion: ` ${text(i + 1)}` }));
  const several = (sign: string) =>
    `text,labels\n${lines(40, (i) => `${text(i)},"${topic(i)}${sign}${topic(i + 1)}"`)}`;
  // What is wrong behind another encoding is found as well.
  const latin = `text;label\n${lines(30, (i) => `gr\u00fc\u00dfe zu ${text(i)};${topic(i)}`)}ohne;\n`;
  const kinds: [name: string, content: string | Uint8Array, settings: RunSettings, said?: string][] = [
    ["latin.csv", Buffer.from(latin, "latin1"), { encoding: "windows-1252", skipFaulty: true }],
    ["a.csv", `id;Libelle;Categorie\n${lines(40, (i) => `${i};${text(i)};${topic(i)}`)}`, {}],
    ["b.csv", `text,score\n${lines(40, (i) => `${text(i)},"${i % 5},${i % 3}"`)}`, { objective: "regression" }],
    ["c.csv", several("|"), { objective: "multi-label" }],
    ["d.csv", several(", "), { objective: "multi-label", labelSeparator: "," }],
    ["e.conll", tagged(" ", (i) => (i % 3 ? "O" : "B-X")), { objective: "tokens" }],
    ["f.tsv", tagged("\t", (i) => (i % 3 ? "O" : "B-X")), { objective: "tokens" }],
    ["pos.tsv", tagged("\t", (i) => ["NN", "VB"][i % 2]!), { objective: "tokens" }],
    ["words.tsv", lines(200, (i) => `word${i % 9}\t${topic(i)}`), {}],
    ["g.jsonl", completions, { objective: "lm" }],
    // Where several columns may be the label, the one with the most values is taken; two columns of texts are both read.
    ["open.csv", open, { labelColumn: "second" }, "column-not-recognized"],
    ["pairs.csv", pairs, { textColumn: "x,y", labelColumn: "kind" }],
    ["h.txt", lines(60, (i) => `It was ${text(i)}, and then ${text(i + 2)}.`), { objective: "lm" }],
  ];
  for (const [name, content, settings, said] of kinds) {
    const checked = await check(name, content);
    assert.ok(checked.readable, `${name}: ${JSON.stringify(checked.problems)}`);
    assert.equal(found(checked), settings, name);
    if (said) assert.is(checked.problems[0]!.code, said);
    // A run with these settings reads the same.
    assert.is(checked.readable.data.objective, settings.objective ?? "classification", name);
  }
});

test("instructions whose outputs repeat are classes, and it is said what else they may be", async () => {
  const { problems, readable } = await check(
    "alpaca.jsonl",
    lines(60, (i) => JSON.stringify({ instruction: text(i), input: "", output: topic(i) })),
  );
  assert.is(readable!.data.objective, "classification");
  const one = problems.find(({ code }) => code === "instructions")!;
  assert.match(one.text, 'look like instructions: "output", which has 3 different values, is learned as a class');
  assert.equal([one.settings, one.isNeeded], [{ objective: "lm" }, false]);
});

test("chats need a model with a chat template, which is named and not downloaded", async () => {
  const said = (role: string, i: number) => ({ role, content: text(i) });
  const chats = lines(40, (i) => JSON.stringify({ messages: [said("user", i), said("assistant", i + 1)] }));
  const checked = await check("chats.jsonl", chats);
  assert.equal(
    [checked.readable, found(checked), checked.problems.map(({ code }) => code)],
    [null, { objective: "lm", model: "smollm2-135m" }, ["no-chat-template"]],
  );
});

test("columns are described with what each is read as", async () => {
  const { columns, readable } = await check(
    "columns.csv",
    `id,kind,title,body\n${lines(60, (i) => `${100 + i},${topic(i)},"on ${i}","${text(i)} ${text(i + 5)}"`)}`,
  );
  assert.ok(readable);
  const described = columns.map(({ name, readAs, filled }) => `${name} ${readAs} ${filled}`);
  assert.equal(described, ["id null 60", "kind label 60", "title null 60", "body text 60"]);
});

test("of tags it is said which entities they mean, and which of them seqeval reads differently", async () => {
  const checked = await check(
    "org.conll",
    tagged(" ", (i) => (i % 3 ? "O" : "ORG")),
  );
  const shown = renderBlocks(checkBlocks(checked, null), 200);
  assert.match(shown, /types of entities: ORG; seqeval, .* reads differently: ORG$/m);
});

test("a run takes what is certain by itself, and stops where something else may be meant", async () => {
  const flags = (...names: string[]) =>
    `text,${names.join()}\n${lines(60, (i) => `${text(i)},${names.map((_, k) => (i + k) % 2).join()}`)}`;
  const scores = `text_a,text_b,value\n${lines(60, (i) => `${text(i)},${topic(i)},${i / 7}`)}`;
  const damaged = `text,label\n${lines(60, (i) => `ü ${text(i)},${topic(i)}`)}\xffa,billing\n`;
  for (const [name, content, expected] of [
    ["three.csv", flags("a", "b", "c"), { labelColumn: "a,b,c", objective: "multi-label" }],
    ["two.csv", flags("a", "b"), null],
    ["kinds.csv", `text,first,second\n${lines(60, (i) => `${text(i)},${["new", "old"][i % 2]},${topic(i)}`)}`, null],
    ["scores.csv", scores, { objective: "regression" }],
    ["damaged.csv", Buffer.from(damaged, "latin1"), { encoding: "windows-1252" }],
    ["keys.jsonl", lines(60, (i) => JSON.stringify({ text: text(i), entities: [i] })), null],
    ["single.jsonl", lines(60, (i) => JSON.stringify({ text: text(i) })), { objective: "lm" }],
  ] as const) {
    const { problems, error } = await readByRun(name, content);
    assert.equal(
      [error === null, Object.assign({}, ...problems.map(({ settings }) => settings))],
      [expected !== null, expected ?? {}],
      name,
    );
  }
});

test("all problems at once, each with its places and the setting that deals with it", async () => {
  const rows = [
    "text,label",
    ...Array.from({ length: 60 }, (_, i) => `${text(i)},${topic(i)}`),
    "no label,",
    "one, two,billing",
    ",billing",
    "a single one,refund",
    `${text(0).trim()},parcel`,
    `${text(0).toUpperCase()}!,billing`,
    `${"long ".repeat(80)},login`,
    "a capital,Login",
    "another capital,Login",
  ];
  const { settings, problems, readable } = await check("dirty.csv", rows.join("\n"));
  assert.ok(readable);
  assert.is(settings.skipFaulty, true);
  const all = Object.fromEntries(
    problems.map(({ code, count, settings, isNeeded }) => [code, [count, settings, isNeeded]]),
  );
  const skipped = [1, { skipFaulty: true }, true];
  for (const [code, expected] of Object.entries({
    ...{ "row-without-label": skipped, "wrong-field-count": skipped, "class-with-one-row": skipped },
    ...{ "empty-text": [1, {}, false], "conflicting-labels": [1, { dedupe: true }, false] },
    ...{ "rare-labels": [0, {}, false], "doubtful-labels": [0, {}, false] },
  }))
    assert.equal(all[code], expected, code);
  assert.equal(all["near-duplicates"]!.slice(1), [{}, false]);
  assert.equal(all["too-long"]!.slice(1), [{ maxLength: 64 }, false]);
  const conflict = problems.find(({ code }) => code === "conflicting-labels")!;
  assert.match(conflict.examples[0]!, /^"a question on billing.*": billing \(row 1\), parcel \(row 63\)$/);
  // It is what a run with these settings reads.
  assert.equal(readable.data.stats.train.rows + readable.data.stats.val.rows + readable.data.stats.test.rows, 66);
});

test("what nothing helps is the last problem; what was asked for stays", async () => {
  const one = await check("one.csv", `text,label\n${lines(20, (i) => `${text(i)},ham`)}`);
  assert.equal([one.readable, one.problems.at(-1)!.code], [null, "only-one-class"]);
  const asked = await check("asked.csv", `text,score\n${lines(60, (i) => `${text(i)},${i / 2}`)}`, {
    objective: "classification",
  });
  assert.equal(
    [asked.readable, asked.problems.at(-1)!.code, found(asked)],
    [null, "label-column-is-numeric", { objective: "classification" }],
  );
  await assertFails("no-such-file", () => check("a.csv", "", { data: join(folder, "none.csv") }));
});
