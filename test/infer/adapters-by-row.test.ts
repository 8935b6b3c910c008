/** Texts that name different adapters: each is classified as by its adapter alone, to the bit, over one base model. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { labelFile, namedAdapters } from "../../src/commands/label.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import type { ConfigError } from "../../src/errors.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { openTable } from "../../src/infer/table/open-table.ts";
import { type AdapterMeta, readAdapter } from "../../src/io/peft/peft.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import { baseShapes } from "../../src/names.ts";
import type { TaskConfig } from "../../src/tasks/index.ts";
import type { Classification } from "../../src/tasks/predictions.ts";
import { drawTensors, modeMeta, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { counting, watchMemory } from "../helpers/counting.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const base = tinyModel(at("model"));

const CLASSES: TaskConfig = { ...TASKS.classification, head_bias: true };

/** Writes an adapter of random values, with labels of its own. */
async function write(name: string, lora: Partial<LoraConfig>, rest: Partial<AdapterMeta> = {}): Promise<string> {
  const task = rest.task ?? CLASSES;
  const labels = Array.from({ length: task.num_labels }, (_, i) => `${name} ${i}`);
  const meta = testMeta(lora, { base_model: base, model: TINY, task, labels, settings: {}, ...rest });
  await writeAdapter(at(name), { meta, tensors: drawTensors(meta, name.length) });
  return at(name);
}

const NO_LORA = { lora: null } as const;

/** Other ranks, targets, blocks, factors, settings of how texts are read, classes, modes. */
const ADAPTERS = {
  small: () => write("small", { r: 2 }),
  fused: () => write("fused", { r: 4, target_modules: ["c_attn", "fc"], scaling: "alpha/sqrt(r)" }),
  short: () => write("short", { target_modules: ["o", "head"] }, { settings: { maxLength: 5 } }),
  padded: () =>
    write("padded", { layers_to_transform: [1] }, { task: { ...CLASSES, pooling: "last" }, settings: { padTo: 24 } }),
  three: () => write("three", {}, { task: { ...CLASSES, num_labels: 3 } }),
  dora: () => write("with DoRA", { target_modules: ["k", "fc"], use_dora: true }),
  layer: () => write("layer", {}, { mode: "last_layer", ...NO_LORA }),
  prompt: () => write("prompt", {}, modeMeta("prompt")),
};
type Name = keyof typeof ADAPTERS;
const NAMES = Object.keys(ADAPTERS) as Name[];

const PHRASES = ["see you at lunch", "you have won a prize, call now", "", "minister opens the new bridge over river"];
/** Texts of other lengths, one longer than the context. */
const TEXTS = Array.from({ length: 9 }, (_, i) => PHRASES[i % 4]! + " please".repeat(i === 5 ? 80 : (i * 5) % 9));

/** Rows in no order of names: all texts for every adapter but the first, whose rows are few. */
function rowsFor(names: readonly Name[]) {
  const rows = names.flatMap((name, i) => TEXTS.slice(i === 0 ? 3 : 0).map((text) => ({ text, name })));
  return rows.map((_, i) => rows[(i * 101) % rows.length]!);
}

const split = (rows: readonly { text: string; name: Name }[]) =>
  [rows.map(({ text }) => text), { adapterNames: rows.map(({ name }) => name) }] as const;

/** What each row's adapter says alone. */
async function alone(rows: readonly { text: string; name: Name }[]): Promise<Classification[]> {
  const results: Classification[] = [];
  for (const name of new Set(rows.map((row) => row.name))) {
    const classifier = await Classifier.load(await ADAPTERS[name](), { device: await testDevice() });
    const own = rows.flatMap((row, i) => (row.name === name ? [i] : []));
    const found = await classifier.classify(own.map((i) => rows[i]!.text));
    for (const [j, i] of own.entries()) results[i] = found[j]!;
    classifier.destroy();
  }
  return results;
}

async function load(names: readonly Name[], device = counting()) {
  const watched = await device;
  const [first, ...others] = names as [Name, ...Name[]];
  const classifier = await Classifier.load(await ADAPTERS[first](), { device: watched.backend, adapterName: first });
  for (const name of others) await classifier.loadAdapter(await ADAPTERS[name](), name);
  // What the check of the device and the first adapter needed.
  for (const counts of [watched.made, watched.written]) counts.clear();
  return { ...watched, classifier };
}

/** How often each base tensor was created since `load`, except those that an adapter replaces or trains (biases). */
const timesMade = (made: ReadonlyMap<string, number>) =>
  new Set([...baseShapes(TINY)].flatMap(([name]) => (/bias$|^ln_f/.test(name) ? [] : (made.get(name) ?? 0))));

testOnDevices(
  "every row has the bits of its own adapter, over a base that is there once, and one adapter more at a time",
  async () => {
    const heldBytes = await watchMemory();
    const before = heldBytes();
    const { classifier, made, written, state } = await load(NAMES);
    const rows = rowsFor(NAMES);
    const wanted = await alone(rows);
    assert.is(new Set(wanted.flatMap(({ label }) => label?.replace(/ \d$/, "") ?? [])).size, NAMES.length);
    assert.equal(await classifier.classify(...split(rows)), wanted);
    assert.equal([state.sessions, state.most], [1, 2]);
    assert.equal([...timesMade(made)], [0]);
    assert.not.ok(written.has("wte.weight"));
    classifier.destroy();
    assert.is(state.sessions, 0);
    assert.is(heldBytes(), before);
  },
);

test("adapters come, go, change, take turns and are disabled: rows have what their adapter is now", async () => {
  const { classifier, state } = await load(["small", "fused", "three"]);
  const rows = rowsFor(["small", "fused", "three"]);
  const wanted = await alone(rows);
  const check = async (words: string) => assert.equal(await classifier.classify(...split(rows)), wanted, words);
  await check("first");
  await classifier.setAdapter("three");
  await check("another is active");
  await classifier.disableAdapters();
  await check("none is enabled");
  await classifier.enableAdapters();
  assert.is(classifier.activeAdapter, "three");
  const more = [...rows, { text: TEXTS[1]!, name: "prompt" as const }];
  await assertFails("no-such-adapter", ['no adapter "prompt"', "adapterNames[24]", "small, fused, three"], () =>
    classifier.classify(...split(more)),
  );
  await classifier.loadAdapter(await ADAPTERS.prompt(), "prompt");
  assert.equal(await classifier.classify(...split(more)), await alone(more));
  classifier.deleteAdapter("prompt");
  await check("one was deleted");
  // Another one under the name of the first.
  classifier.deleteAdapter("fused");
  await classifier.loadAdapter(await ADAPTERS.short(), "fused");
  const renamed = rows.map(({ text, name }) => ({ text, name: name === "fused" ? ("short" as const) : name }));
  assert.equal(await classifier.classify(...split(rows)), await alone(renamed));
  await classifier.setAdapter("small");
  const { tensors } = await readAdapter(await ADAPTERS.small());
  const zeros = new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.map(() => 0) }]));
  classifier.update(zeros);
  const [updated] = await classifier.classify(TEXTS[1]!, { adapterNames: ["small"] });
  assert.is(updated!.probability, 0.5);
  classifier.destroy();
  assert.is(state.sessions, 0);
});

test("names that are not one a text or no adapter's are refused before any work; no texts are no work", async () => {
  const { classifier, state, written } = await load(["small", "fused"]);
  written.clear();
  const [text] = TEXTS;
  const cases: [texts: string | string[], adapterNames: string[], code: ConfigError["code"], ...words: string[]][] = [
    [[text!, text!], ["small"], "wrong-name-count", "2 names", "1"],
    [text!, ["small", "fused"], "wrong-name-count", "1 names", "2"],
    [text!, [], "wrong-name-count"],
    [
      [text!, text!],
      ["small", "fusd"],
      "no-such-adapter",
      'no adapter "fusd"',
      "adapterNames[1]",
      "small, fused",
      "did you mean fused?",
    ],
    [[text!], [""], "no-such-adapter", 'no adapter ""', "adapterNames[0]"],
    [[text!], ["default"], "no-such-adapter", 'no adapter "default"'],
  ];
  for (const [texts, adapterNames, code, ...words] of cases)
    await assertFails(code, words, () => classifier.classify(texts, { adapterNames }));
  assert.equal(await classifier.classify([], { adapterNames: [] }), []);
  assert.equal([state.sessions, written.size], [1, 0]);
  const options = { device: await testDevice(), adapterName: "" };
  await assertFails("invalid-adapter-name", ["needs a name"], () => Classifier.load(at("small"), options));
  assert.is(classifier.metaOf("fused").labels[0], "fused 0");
  await assertFails("no-such-adapter", ['no adapter "fusd"'], async () => classifier.metaOf("fusd"));
  classifier.destroy();
});

test("an adapter that does not fit leaves all as it was", async () => {
  const { classifier, state } = await load(["small", "three"]);
  const rows = rowsFor(["small", "three"]);
  state.isFull = true;
  await assertFails("out-of-memory", ["is full"], () => classifier.classify(...split(rows)));
  state.isFull = false;
  assert.is(state.sessions, 1);
  assert.equal(await classifier.classify(...split(rows)), await alone(rows));
  classifier.destroy();
});

// ------------------------------------------------------------------------------------------------ tables

const MESSAGES = `task,note,message\nsmall,"a, b","you have won"\n three ,,see you at lunch\nsmall,x,\nthree,y,"see\nyou"\n`;

test("the column of adapters in CSV, TSV and JSON, whatever is read at a time", async () => {
  const samples: Record<string, string> = {
    "a.csv": MESSAGES,
    "a.tsv": "words\ttask\nyou have won\tsmall\nsee you at lunch\t three\n\tsmall\nsee\tthree\n",
    "a.jsonl": '{"task":"small","text":"you have won"}\n{"text":"see you at lunch","task":" three "}\n'.concat(
      '{"task":"small","text":""}\n{"n":1,"task":"three","text":"see"}\n',
    ),
    "a.json": '[{"task":"small","a":"you have won"},{"task":"three","a":"see you at lunch"},\n'.concat(
      '{"task":"small","a":""},{"a":"see","task":"three"}]',
    ),
    // The first row would be data, but for the name that was asked for.
    "data.csv": "task,message\ntask,you have won a prize\n",
  };
  for (const [name, content] of Object.entries(samples)) {
    writeFileSync(at(name), content);
    for (const chunkBytes of [1, 64]) {
      const table = await openTable(at(name), { adapterColumn: "Task", chunkBytes });
      assert.is(table.adapterColumn, "task");
      const rows = [];
      for await (const some of table.rows()) rows.push(...some.filter(({ text }) => text !== null));
      await table.close();
      const adapters = rows.map(({ adapter }) => adapter);
      assert.equal(adapters, name === "data.csv" ? ["task"] : ["small", "three", "small", "three"], name);
      assert.is(rows[0]!.text?.slice(0, 12), "you have won", name);
    }
  }
});

const table = (input: string, output: string, more: object = {}) =>
  labelFile(
    new Map([
      ["small", at("small")],
      ["three", at("three")],
    ]),
    { in: at(input), out: at(output), device: "wasm", adapterColumn: "task", ...more },
  );

test("every row of a table has the label of its adapter, and an empty row none", async () => {
  for (const name of ["small", "three"] as const) await ADAPTERS[name]();
  writeFileSync(at("in.csv"), MESSAGES);
  await table("in.csv", "out.csv");
  const texts = ["you have won", "see you at lunch", "", "see\nyou"];
  const names = ["small", "three", "small", "three"] as const;
  const results = await alone(names.map((name, i) => ({ name, text: texts[i]! })));
  const labels = results.map(({ label, probability }) => `,${label ?? ""},${probability?.toFixed(6) ?? ""}`);
  const whole = readFileSync(at("out.csv"), "utf8");
  const [header, ...lines] = MESSAGES.trimEnd().split(/\n(?!you)/);
  const expected = [`${header},predicted,probability`, ...lines.map((line, i) => line + labels[i]), ""].join("\n");
  assert.is(whole, expected);
  // An empty row names no adapter.
  writeFileSync(at("gaps.csv"), "task,message\nsmall,you have won\n,\nthree, \n");
  await table("gaps.csv", "gaps-out.csv");
  assert.is(
    readFileSync(at("gaps-out.csv"), "utf8"),
    `task,message,predicted,probability\nsmall,you have won${labels[0]}\n,,,\nthree, ,,\n`,
  );
});

test("a table that names no adapter, another one, or has no such column is refused before any work", async () => {
  writeFileSync(at("other.csv"), 'task,message\nsmall,"a\nb"\nthre,b\n');
  writeFileSync(at("empty.csv"), "task,message\nsmall,a\n ,b\n");
  writeFileSync(at("null.jsonl"), '{"task":"small","text":"a"}\n{"task":null,"text":"a"}\n');
  writeFileSync(at("key.jsonl"), '{"task":"small","text":"a"}\n{"text":"a"}\n');
  writeFileSync(at("latin.csv"), Buffer.from("task,message\nsm\xe4ll,a\n", "latin1"));
  const cases: [input: string, more: object, code: ErrorCode, ...words: string[]][] = [
    [
      "other.csv",
      {},
      "no-such-adapter",
      'no adapter "thre"',
      "other.csv, row 2",
      "small, three",
      'did you mean "three"?',
    ],
    ["empty.csv", {}, "no-such-adapter", "empty.csv, row 2", "small, three"],
    ["in.csv", { adapterColumn: "tsk" }, "no-such-column", 'no column "tsk"', "task, note", 'did you mean "task"?'],
    ["in.csv", { adapterColumn: "message", textColumn: "message" }, "same-column", "message"],
    ["null.jsonl", {}, "value-not-text", '"task" has no text', "null.jsonl:2"],
    ["key.jsonl", {}, "no-such-key", 'no "task"', "key.jsonl:2"],
    ["latin.csv", {}, "not-utf8", "2: smäll,a", "latin.csv:2"],
  ];
  for (const [input, more, code, ...words] of cases)
    await assertFails(code, words, () => table(input, `x${/\.\w+$/.exec(input)![0]}`, more));
  for (const name of ["x.csv", "x.jsonl"]) assert.not.ok(existsSync(at(name)), name);
});

test("adapters of other base models are refused, unless one is given for all", async () => {
  writeFileSync(at("pair.csv"), "task,message\nfirst,a\nsecond,b\n");
  const other = tinyModel(at("other model"));
  const directories = new Map([
    ["first", await write("first", {})],
    ["second", await write("second", {}, { base_model: other })],
  ]);
  const run = (more: object = {}) =>
    labelFile(directories, {
      ...{ in: at("pair.csv"), out: at("pair out.csv"), device: "wasm", adapterColumn: "task", force: true },
      ...more,
    });
  await assertFails(
    "base-models-differ",
    ["base models of different names", `${base}, as first`, "second", "--model"],
    run,
  );
  await run({ model: base });
  directories.set("second", await write("second", {}, { settings: { dtype: "q8" } }));
  await assertFails("base-models-differ", ["in different types", "f32, as first", "q8 (second)", "--dtype"], run);
  await run({ dtype: "f16" });
  directories.set("second", await write("second", {}, { model: { ...TINY, n_head: 4 } }));
  await assertFails("wrong-base-model", run);
  directories.set("second", await write("second", {}, { task: TASKS.lm }));
  await assertFails("wrong-task", ["another task"], run);
});

test("the command takes NAME=DIR for each adapter, and says what does not go together, with exit code 2", async () => {
  const classify = (line: string) => runCommand("classify", [...line.split(" "), "--device", "wasm"], { cwd: folder });
  rmSync(at("out.csv"));
  const finished = await classify(
    "--adapter small=small --adapter three=three --adapter-column task --in in.csv --out out.csv",
  );
  assertCode(finished, 0);
  assert.match(finished.stderr, /^adapters in column "task": small 2, three 2$/m);
  assert.match(readFileSync(at("out.csv"), "utf8"), /^small,"a, b","you have won",small \d,[01]\.\d{6}$/m);
  const refused = await classify("--run small --adapter a=small --adapter b=small --adapter-column task in.csv");
  assertCode(refused, 2);
  assert.match(refused.stderr, "exactly one of --run and --adapter");
  const pair = ["small=small", "three=three"];
  for (const [adapter, adapterColumn, code, ...words] of [
    [pair, undefined, "options-conflict", "go together", "no --adapter-column"],
    [["small=small"], "task", "options-conflict", "go together", "1 of --adapter"],
    [undefined, "task", "options-conflict", "go together", "0 of --adapter"],
    [[...pair, "small=three"], "task", "invalid-adapter-name", 'two adapters have the name "small"'],
    [[...pair, "three"], "task", "invalid-adapter-name", "needs a name", "NAME=DIR", "three"],
    [[...pair, "=three"], "task", "invalid-adapter-name", "needs a name", "=three"],
    [[...pair, "a="], "task", "invalid-adapter-name", "needs a name", "a="],
  ] as const) {
    const flags = { ...(adapter && { adapter: [...adapter] }), ...(adapterColumn && { adapterColumn }) };
    await assertFails(code, words, () => namedAdapters(flags));
  }
  assert.is(namedAdapters({ adapter: ["lr=0.1"] }), null, "one adapter is a directory, whatever its name");
});
