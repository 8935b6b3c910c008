/** classify --in FILE --out FILE: the same rows in order, byte for byte, with what the model makes of each. */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { isTable, labelFile } from "../../src/commands/label.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LabelLimits } from "../../src/infer/table/label-limits.ts";
import { labelTable, survey } from "../../src/infer/table/label-table.ts";
import { openTable } from "../../src/infer/table/open-table.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { LIMITS } from "../../src/io/limits.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import { drawTensors, testMeta } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { PARQUET } from "../helpers/parquet.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { messages, TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), "utf8");
tinyModel(at("model"));
writeFileSync(at("messages.csv"), messages(20));
const classify = (args: string[]) =>
  runCommand("classify", ["--run", "run", "--device", "wasm", ...args], { cwd: folder });

let training: ReturnType<typeof train> | undefined;
/** The run of all tests. */
const trained = () => {
  training ??= train();
  return training;
};

async function train() {
  const device = await testDevice("wasm 1 thread");
  const model = await openBaseModel(at("model"));
  const data = await loadDataset({ file: at("messages.csv") }, { model, textColumn: "text", maxLength: 64 });
  await fineTune({ device, model, data, rank: 2, epochs: 1, save: at("run") });
  return { device, model, classifier: await Classifier.load(at("run"), { device }) };
}
afterAll(async () => {
  if (!training) return;
  const { classifier, model } = await training;
  classifier.destroy();
  await model.close();
});

interface Asked {
  classifier?: Classifier;
  force?: boolean;
  textColumn?: string;
  chunkBytes?: number;
  order?: "doubt";
  minProbability?: number;
  onProgress?: (rows: number) => void;
}

/** Labels a file into another one. */
async function label(input: string, output: string, { classifier, ...asked }: Asked = {}) {
  const { force = false, onProgress = () => {}, order, minProbability, ...open } = asked;
  const table = await openTable(at(input), open);
  try {
    const labeller = classifier ?? (await trained()).classifier;
    const limits = new LabelLimits(labeller, minProbability);
    await labelTable(table, await survey(table, input), labeller, {
      ...{ output: at(output), force, onProgress, order, limits },
    });
    return limits;
  } finally {
    await table.close();
  }
}

const TEXTS = ['you have "won", call', "see you\nat lunch", "", "über, ü\r\nend", "'s", "last"];
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;

const csv = (label: string, probability: string) => `,${label},${probability}`;
const json = (taken: string) => (label: string, probability: string) =>
  `,"predicted${taken}":"${label}","probability${taken}":${probability}`;
const ends = ["\r\n", "\n\n", "\r"];
const mixed = TEXTS.map((text, i) => `${i},${quoted(text)},"a, ${i}"FIELDS${ends[i % 3]}`).join("");

/** Files with HEADER and FIELDS where more belongs, their texts, and what belongs there: a header, and the fields. */
const SAMPLES: Record<string, [content: string, texts: string[], header: string, fields?: typeof csv]> = {
  "mixed.csv": [`\uFEFF\r\nid,Message,predictedHEADER\r\n${mixed}\r\n`, TEXTS, ",predicted_2,probability_2"],
  "one.csv": ["FeedbackHEADER\nabFIELDS\n\ncdFIELDS", ["ab", "cd"], ",predicted,probability"],
  "bare.tsv": [
    'ham\tsee you "now"FIELDS\r\nspam\tcall "me" nowFIELDS\n\nham\t"a ""b"""FIELDS\r\n',
    ['see you "now"', 'call "me" now', 'a "b"'],
    "",
    (...values) => csv(...values).replaceAll(",", "\t"),
  ],
  "semicolons.csv": [
    'id;text;noteHEADER\n1;"a; b";cFIELDS\n2;d, e;FIELDS\n',
    ["a; b", "d, e"],
    ";predicted;probability",
    (...values) => csv(...values).replaceAll(",", ";"),
  ],
  "array.json": [
    '[\n  {"id": 1, "text": "a}"FIELDS},\n  {"id": 2, "text": "b"\nFIELDS}\n]\n',
    ["a}", "b"],
    "",
    json(""),
  ],
  "rows.jsonl": [
    `\n{"text":"a\\u00fc \\"}\\"", "n": {"x": [1, 2]} FIELDS} \r\n{ "predicted":null,"text" : 12.50FIELDS}\n\n`,
    ['aü "}"', "12.50"],
    "",
    json("_2"),
  ],
};

for (const [name, [content, texts, header, fields = csv]] of Object.entries(SAMPLES))
  test(`${name}: the copy is the file with labels in it`, async () => {
    writeFileSync(at(name), content.replaceAll(/HEADER|FIELDS/g, ""));
    const results = (await labelled(...texts)).map(({ label, probability }) => fields(label, probability));
    const expected = content.replace("HEADER", header).replaceAll("FIELDS", () => results.shift()!);
    await label(name, `out-${name}`, { chunkBytes: 1 });
    assert.is(read(`out-${name}`), expected);
  });

/** What the model says of texts, as it is written. */
async function labelled(...texts: string[]) {
  const results = await (await trained()).classifier.classify(texts);
  return results.map(({ label, probability }) => ({ label: label ?? "", probability: probability?.toFixed(6) ?? "" }));
}

/** A classifier with random tensors. */
async function randomClassifier(rest: Partial<AdapterMeta>): Promise<Classifier> {
  const { device, model } = await trained();
  const meta = testMeta({}, { model: TINY, ...rest });
  return Classifier.of({ meta, tensors: drawTensors(meta) }, model, device);
}

test("a score is in a column of its own, with six decimals", async () => {
  const classifier = await randomClassifier({ task: TASKS.regression, labels: ["score"] });
  const texts = ["one", "three words here", ""];
  const scores = (await classifier.score(texts)).map(({ score }) => score?.toFixed(6) ?? null);
  writeFileSync(at("score.csv"), "text\none\nthree words here\n");
  writeFileSync(at("score.jsonl"), texts.map((text) => `{"text":"${text}","score":1}\n`).join(""));
  for (const name of ["score.csv", "score.jsonl"]) await label(name, `out-${name}`, { classifier });
  assert.is(read("out-score.csv"), `text,score\none,${scores[0]}\nthree words here,${scores[1]}\n`);
  const lines = texts.map((text, i) => `{"text":"${text}","score":1,"score_2":${scores[i]}}\n`);
  assert.is(read("out-score.jsonl"), lines.join(""));
  for (const asked of [{ order: "doubt" }, { minProbability: 0.5 }] as const) {
    const refused = () => label("score.csv", "x.csv", { ...asked, classifier });
    await assertFails("options-conflict", [Object.keys(asked)[0]!, "a regression"], refused);
  }
  classifier.destroy();
});

test("by doubt the rows of the smallest margin are first; below the least probability a row has no label", async () => {
  const { classifier } = await trained();
  const texts = ["you have won", "see you at lunch", "call now", "an answer by Friday"];
  writeFileSync(at("todo.csv"), `text\n\n${texts.join("\n")}\n" "\n`);
  const results = await classifier.classify(texts);
  const sorted = results.toSorted((a, b) => a.probability! - b.probability!);
  const minProbability = (sorted[1]!.probability! + sorted[2]!.probability!) / 2;
  const limits = await label("todo.csv", "todo-out.csv", { order: "doubt", minProbability });
  assert.equal(limits.describe(5), [
    `without a label, as none has a probability of ${minProbability} or more: 2 of 5 texts`,
  ]);
  const lines = sorted.map((result, i) =>
    [texts[results.indexOf(result)], i < 2 ? "" : result.label, `${result.probability!.toFixed(6)}\n`].join(),
  );
  assert.is(read("todo-out.csv"), `text,predicted,probability\n${lines.join("")}" ",,\n`);
  // What is put in an order is in memory.
  const table = await openTable(at("todo.csv"));
  const surveyed = { ...(await survey(table, "todo.csv")), bytes: LIMITS.orderedBytes + 1 };
  const options = { output: at("x.csv"), force: false, order: "doubt", onProgress: () => {} } as const;
  await assertFails("exceeds-limit", ["1,000,000 rows", "todo.csv", "a part of the rows"], () =>
    labelTable(table, surveyed, classifier, options),
  );
  await table.close();
  assert.not.ok(existsSync(at("x.csv")));
});

test("several labels are in one column, their probabilities in a column each", async () => {
  const labels = ["red", "green", 'a "b", c'];
  const settings = { thresholds: [0.2, 0.6, 0.5] };
  const classifier = await randomClassifier({ task: TASKS["multi-label"], labels, settings });
  const texts = ["one", "three words here"];
  const expected = (await classifier.classify(texts)).map(({ labels: predicted, probabilities }, i) => ({
    ...{ text: texts[i], predicted: predicted!.join("|") },
    ...Object.fromEntries(labels.map((name) => [`probability ${name}`, Number(probabilities[name]!.toFixed(6))])),
  }));
  writeFileSync(at("labels.jsonl"), [...texts, ""].map((text) => `${JSON.stringify({ text })}\n`).join(""));
  writeFileSync(at("labels.csv"), "text\none\n");
  for (const name of ["labels.jsonl", "labels.csv"]) await label(name, `out-${name}`, { classifier });
  const lines = read("out-labels.jsonl").trimEnd().split("\n");
  const none = Object.fromEntries(Object.keys(expected[0]!).map((key) => [key, key === "text" ? "" : null]));
  assert.equal(
    lines.map((line) => JSON.parse(line)),
    [...expected, none],
  );
  const header = 'text,predicted,probability red,probability green,"probability a ""b"", c"';
  assert.is(read("out-labels.csv").split("\n")[0], header);
  classifier.destroy();
});

test("a table that changes while it is labelled is refused, and leaves no file", async () => {
  const before = `id,text\n${Array.from({ length: 40 }, (_, i) => `${i},see you at ${i} or so\n`).join("")}`;
  mkdirSync(at("live"));
  for (const [after, words] of [
    [before.replaceAll("or so", "at 12"), "other rows"],
    [before.slice(0, 500), "file ended"],
    [before.replaceAll(",see", ' "see'), "wrong number of fields"],
  ] as const) {
    writeFileSync(at("live/in.csv"), before);
    let isChanged = false;
    const onProgress = (done: number) => {
      if (done > 4 && !isChanged) writeFileSync(at("live/in.csv"), after);
      isChanged ||= done > 4;
    };
    await assertFails("inputs-changed", ["has changed while", "in.csv", "at the start", words], () =>
      label("live/in.csv", "live/out.csv", { chunkBytes: 64, onProgress }),
    );
    assert.equal(readdirSync(at("live")), ["in.csv"]);
  }
});

test("rows without a text have no label: empty cells, spaces, whole empty rows; they are counted", async () => {
  writeFileSync(at("gaps.csv"), ",\n id,text\n1,see you\n2,\n,\n3,  \n   \n4,call now\n,\n");
  const table = await openTable(at("gaps.csv"));
  const { rows, blank } = await survey(table, "gaps.csv");
  await table.close();
  assert.equal([rows, blank], [6, 4]);
  await label("gaps.csv", "gaps-out.csv");
  const [first, second] = (await labelled("see you", "call now")).map(({ label, probability }) =>
    csv(label, probability),
  );
  assert.is(
    read("gaps-out.csv"),
    `,\n id,text,predicted,probability\n1,see you${first}\n2,,,\n,,,\n3,  ,,\n   \n4,call now${second}\n,,,\n`,
  );
  writeFileSync(at("nothing.tsv"), "id\ttext\n1\t\n");
  await label("nothing.tsv", "nothing-out.tsv");
  assert.is(read("nothing-out.tsv"), "id\ttext\tpredicted\tprobability\n1\t\t\t\n");
});

test("a path names the texts within objects; an object's name is taken, too", async () => {
  const rows = ['{"predicted": {"x": 1}, "message": {"body": "you have won"}FIELDS}', '{"message":{"body":""}FIELDS}'];
  const content = rows.join("\n");
  const write = (name: string, text: string) => writeFileSync(at(name), text.replaceAll("FIELDS", ""));
  write("bare.jsonl", `{}\n${content}`);
  const bare = (textColumn: string) => label("bare.jsonl", "x.jsonl", { textColumn });
  await assertFails("no-such-column", ['no column "body"', "predicted.x, message.body"], () => bare("body"));
  await assertFails("no-such-key", ['no "message.body"', "bare.jsonl:1"], () => bare("message.body"));
  write("nested.jsonl", content);
  await label("nested.jsonl", "nested-out.jsonl", { textColumn: "message.body" });
  const { label: predicted, probability } = (await labelled("you have won"))[0]!;
  const results = [`"${predicted}","probability_2":${probability}`, 'null,"probability_2":null'];
  assert.is(
    read("nested-out.jsonl"),
    content.replaceAll("FIELDS", () => `,"predicted_2":${results.shift()}`),
  );
});

test("Parquet is read, and written as CSV", async () => {
  writeFileSync(at("p.parquet"), PARQUET);
  await label("p.parquet", "p.csv");
  const results = await labelled('you have won, "now"', "see you\nat lunch", "");
  const [a, b, c] = results.map(({ label, probability }) => csv(label, probability));
  assert.is(
    read("p.csv"),
    "id,message,when,tags,score,predicted,probability\r\n" +
      `1,"you have won, ""now""",2024-01-02T03:04:05.000Z,"[""a"",""b""]",0.5${a}\r\n` +
      `2,"see you\nat lunch",,[],${b}\r\n9007199254740993,,,,-1.25${c}\r\n`,
  );
});

test("what cannot be labelled is refused before any work", async () => {
  writeFileSync(at("in.csv"), "id,message\n1,see you at lunch\n");
  writeFileSync(at("there.csv"), "mine");
  linkSync(at("in.csv"), at("hard.csv"));
  mkdirSync(at("folder.csv"), { recursive: true });
  for (const [line, code, ...words] of [
    ["in.csv in.csv --force", "invalid-output", "--out is the file that is read"],
    ["in.csv hard.csv --force", "invalid-output", "--out is the file that is read"],
    ["in.csv there.csv", "output-exists", "force"],
    ["in.csv folder.csv --force", "invalid-output", "--out is a folder"],
    ["in.csv there.csv/x.csv", "invalid-output", "cannot be created", "there.csv/x.csv"],
    ["in.csv x.tsv", "invalid-output", "another format", "ends in .csv"],
    ["p.parquet p.parquet", "invalid-output", "written as CSV"],
    ["none.csv x.csv", "cannot-read-file", "no such file"],
  ] as [string, ErrorCode, ...string[]][]) {
    const [input, output, force] = line.split(" ");
    const flags = { in: at(input!), out: at(output!), device: "wasm", force: force !== undefined } as const;
    await assertFails(code, words, () => labelFile(at("run"), flags));
  }
  assert.equal([read("in.csv"), read("there.csv")], ["id,message\n1,see you at lunch\n", "mine"]);
  for (const name of ["x.csv", "x.jsonl"]) assert.not.ok(existsSync(at(name)), name);
});

test("flags that do not go together are refused", async () => {
  const [input, out] = ["in.csv", "x.csv"];
  for (const [flags, texts] of [
    [{ out }, false],
    [{ in: input, out }, true],
    [{ force: true }, true],
    [{ in: input, order: "doubt" }, true],
  ] as const)
    await assertFails("options-conflict", ["do not go together"], () => isTable(flags, texts, false));
  assert.equal([isTable({ in: input, out }, false, false), isTable({ in: input }, false, true)], [true, false]);
});

test("--force replaces an output when the new one is finished, behind a link; another file is never replaced", async () => {
  symlinkSync("there.csv", at("to-there.csv"));
  const finished = await classify(["--in", "in.csv", "--out", "to-there.csv", "--force"]);
  assertCode(finished, 0);
  assert.is(finished.stdout, "");
  for (const words of [
    /^in\.csv: 1 rows, texts in column "message"$/m,
    /^row \d+\/1 {2}\d+ s left {2}\S+ rows\/s$/m,
    /^1 rows, \S+ rows\/s, on CPU.*\nsaved to to-there\.csv, with columns predicted and probability/m,
  ])
    assert.match(finished.stderr, words);
  assert.ok(lstatSync(at("to-there.csv")).isSymbolicLink());
  assert.match(read("there.csv"), /^id,message,predicted,probability\n1,see you at lunch,(ham|spam),[01]\.\d{6}\n$/);
  // It is written while the rows are labelled.
  const onProgress = () => writeFileSync(at("late.csv"), "mine");
  await assertFails("output-exists", ["late.csv"], () => label("in.csv", "late.csv", { onProgress }));
  assert.is(read("late.csv"), "mine");
});

test("a file in place of texts is read from the column of the run's training; a name without a file is no text", async () => {
  writeFileSync(at("both.jsonl"), `${JSON.stringify({ text: "see you", message: "call now" })}\n`);
  const finished = await classify(["both.jsonl"]);
  assertCode(finished, 0);
  assert.match(finished.stderr, /^both\.jsonl: 1 rows, texts in column "text"$/m);
  assert.match(finished.stdout, /^(ham|spam)\t[01]\.\d{4}\tsee you(\t.*)?\n$/);
  for (const [line, words] of [
    ["none.csv", /cannot read none\.csv[\s\S]*no such file[\s\S]*echo none\.csv \|/],
    ["both.jsonl none.csv", /look like files/],
    ["--adapter run in.csv", /exactly one of --run and --adapter/],
    ["--file in.csv", /unknown option '--file'\n\(Did you mean --in\?\)/],
  ] as const) {
    const refused = await classify(line.split(" "));
    assertCode(refused, 2);
    assert.match(refused.stderr, words);
  }
});
