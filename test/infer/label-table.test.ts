/** classify --in FILE --out FILE: the same rows in order, byte for byte, with what the model makes of each. */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { isTable, labelFile } from "../../src/commands/label.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LabelLimits } from "../../src/infer/table/label-limits.ts";
import { labelTable, survey } from "../../src/infer/table/label-table.ts";
import { openTable } from "../../src/infer/table/open-table.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { LIMITS } from "../../src/io/limits.ts";
import type { AdapterMeta } from "../../src/io/peft/peft.ts";
import { fineTune } from "../../src/run/fine-tune.ts";
import type { Classification } from "../../src/tasks/predictions.ts";
import { runFiles } from "../../src/views/run-files.ts";
import { drawTensors, testMeta } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { afterAll, test, testAll } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { PARQUET } from "../helpers/parquet.ts";
import { assertCode, runCommand, type SpawnOptions } from "../helpers/spawn.ts";
import { messages, TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), "utf8");
tinyModel(at("model"));
writeFileSync(at("messages.csv"), messages(20));
const classify = (args: string[], more: Partial<SpawnOptions> = {}) =>
  runCommand("classify", ["--run", "run", "--device", "wasm", ...args], { cwd: folder, ...more });

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
  await fineTune({ device, model, data, rank: 2, epochs: 1, save: at("run") }, runFiles);
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

interface Sample {
  /** The file, with HEADER and FIELDS where more belongs. */
  content: string;
  column: string;
  texts: string[];
  header?: string;
  fields?: (label: string, probability: string) => string;
}

const csv = (label: string, probability: string) => `,${label},${probability}`;

const SAMPLES: Record<string, Sample> = {
  "mixed.csv": {
    content: `\uFEFF\r\nid,Message,predictedHEADER\r\n${TEXTS.map(
      (text, i) => `${i},${quoted(text)},"a, ${i}"FIELDS${["\r\n", "\n\n", "\r"][i % 3]}`,
    ).join("")}\r\n`,
    column: "Message",
    texts: TEXTS,
    header: ",predicted_2,probability_2",
    fields: csv,
  },
  "one.csv": {
    content: "FeedbackHEADER\nabFIELDS\n\ncdFIELDS",
    column: "Feedback",
    texts: ["ab", "cd"],
    header: ",predicted,probability",
    fields: csv,
  },
  "bare.tsv": {
    content: 'ham\tsee you "now"FIELDS\r\nspam\tcall "me" nowFIELDS\n\nham\t"a ""b"""FIELDS\r\n',
    column: "text",
    texts: ['see you "now"', 'call "me" now', 'a "b"'],
    fields: (label, probability) => `\t${label}\t${probability}`,
  },
  "semicolons.csv": {
    content: 'id;text;noteHEADER\n1;"a; b";cFIELDS\n2;d, e;FIELDS\n',
    column: "text",
    texts: ["a; b", "d, e"],
    header: ";predicted;probability",
    fields: (label, probability) => `;${label};${probability}`,
  },
  "array.json": {
    content: '[\n  {"id": 1, "text": "a}"FIELDS},\n  {"id": 2, "text": "b"\nFIELDS}\n]\n',
    column: "text",
    texts: ["a}", "b"],
    fields: (label, probability) => `,"predicted":"${label}","probability":${probability}`,
  },
  "rows.jsonl": {
    content: `\n{"text":"a\\u00fc \\"}\\"", "n": {"x": [1, 2]} FIELDS} \r\n{ "predicted":null,"text" : 12.50FIELDS}\n\n`,
    column: "text",
    texts: ['aü "}"', "12.50"],
    fields: (label, probability) => `,"predicted_2":"${label}","probability_2":${probability}`,
  },
};

for (const [name, { content, column, texts, header = "", fields = csv }] of Object.entries(SAMPLES))
  test(`${name}: rows and texts, whatever is read at a time; the copy is the file with labels in it`, async () => {
    writeFileSync(at(name), content.replaceAll(/HEADER|FIELDS/g, ""));
    for (const chunkBytes of [1, 2, 3, 5, 64, 1 << 16]) {
      const table = await openTable(at(name), { chunkBytes });
      assert.is(table.textColumn, column);
      const rows = [];
      for await (const some of table.rows()) rows.push(...some);
      assert.equal(
        rows.flatMap(({ text }) => text ?? []),
        texts,
      );
      const marked = rows.map(({ bytes, at, text }) => {
        const mark = at < 0 ? "" : text === null ? "HEADER" : "FIELDS";
        const end = at < 0 ? bytes.length : at;
        return `${Buffer.from(bytes.subarray(0, end))}${mark}${Buffer.from(bytes.subarray(end))}`;
      });
      assert.is(marked.join(""), content, `${chunkBytes} bytes`);
      await table.close();
    }
    await label(name, `out-${name}`, { chunkBytes: 7 });
    const results = await (await trained()).classifier.classify(texts);
    let next = 0;
    const expected = content.replace("HEADER", header).replaceAll("FIELDS", () => {
      const { label, probability } = results[next++]!;
      return fields(label ?? "", probability?.toFixed(6) ?? "");
    });
    assert.is(read(`out-${name}`), expected);
  });

/** A classifier with random tensors. */
async function randomClassifier(rest: Partial<AdapterMeta>): Promise<Classifier> {
  const { device, model } = await trained();
  const meta = testMeta({}, { model: TINY, ...rest });
  return Classifier.of({ meta, tensors: drawTensors(meta) }, model, device);
}

test("a score is in a column of its own, with six decimals", async () => {
  const classifier = await randomClassifier({ task: TASKS.regression, labels: ["score"] });
  const texts = ["one", "three words here", ""];
  const scores = (await classifier.score(texts)).map(({ score }) => score?.toFixed(6));
  writeFileSync(at("score.csv"), `text\n${texts.slice(0, 2).join("\n")}\n`);
  await label("score.csv", "scored.csv", { classifier });
  assert.is(read("scored.csv"), `text,score\none,${scores[0]}\nthree words here,${scores[1]}\n`);
  writeFileSync(at("score.jsonl"), texts.map((text) => `${JSON.stringify({ text, score: 1 })}\n`).join(""));
  await label("score.jsonl", "scored.jsonl", { classifier });
  const lines = texts.map((text, i) => `{"text":"${text}","score":1,"score_2":${scores[i] ?? null}}\n`);
  assert.is(read("scored.jsonl"), lines.join(""));
  classifier.destroy();
});

test("by doubt the rows of the smallest margin are first; below the least probability a row has no label", async () => {
  const { classifier } = await trained();
  const texts = ["you have won", "see you at lunch", "call now", "an answer by Friday"];
  writeFileSync(at("todo.csv"), `text\n\n${texts.join("\n")}\n" "\n`);
  const results = await classifier.classify(texts);
  const sorted = results.map(({ probability }, i) => [probability!, texts[i]!] as const).sort(([a], [b]) => a - b);
  const minProbability = (sorted[1]![0] + sorted[2]![0]) / 2;
  const limits = await label("todo.csv", "todo-out.csv", { order: "doubt", minProbability });
  assert.equal(limits.describe(5), [
    `without a label, as none has a probability of ${minProbability} or more: 2 of 5 texts`,
  ]);
  const labelOf = (text: string) => results[texts.indexOf(text)]!.label;
  const lines = sorted.map(([p, text]) => `${text},${p < minProbability ? "" : labelOf(text)},${p.toFixed(6)}\n`);
  assert.is(read("todo-out.csv"), `text,predicted,probability\n${lines.join("")}" ",,\n`);
  const scores = await randomClassifier({ task: TASKS.regression, labels: ["score"] });
  for (const [asked, words] of [
    [{ order: "doubt" }, "order"],
    [{ minProbability: 0.5 }, "minProbability"],
  ] as const)
    await assertFails("options-conflict", [words, "a regression"], () =>
      label("todo.csv", "x.csv", { ...asked, classifier: scores }),
    );
  scores.destroy();
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
  const texts = ["one", "three words here", ""];
  const results = await classifier.classify(texts);
  const expected = results.map(({ labels: predicted, probabilities }, i) => ({
    text: texts[i],
    predicted: texts[i] === "" ? null : predicted!.join("|"),
    ...Object.fromEntries(
      labels.map((name) => [`probability ${name}`, texts[i] === "" ? null : Number(probabilities[name]!.toFixed(6))]),
    ),
  }));
  writeFileSync(at("labels.jsonl"), texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  await label("labels.jsonl", "labelled.jsonl", { classifier });
  const lines = read("labelled.jsonl").trimEnd().split("\n");
  assert.equal(
    lines.map((line) => JSON.parse(line)),
    expected,
  );
  writeFileSync(at("labels.csv"), "text\none\n");
  await label("labels.csv", "labelled.csv", { classifier });
  const [header] = read("labelled.csv").split("\n");
  assert.is(header, 'text,predicted,probability red,probability green,"probability a ""b"", c"');
  classifier.destroy();
});

test("of several labels the one is the most probable of those that are predicted, or none", async () => {
  for (const [thresholds, expected] of [
    [[1, 0, 1], "green"],
    [[0, 1, 1], "red"],
    [[1, 1, 1], null],
  ] as const) {
    const labels = ["red", "green", "blue"];
    const settings = { thresholds: [...thresholds] };
    const classifier = await randomClassifier({ task: TASKS["multi-label"], labels, settings });
    const [{ label, labels: predicted, probability, probabilities }] = (await classifier.classify("one")) as [
      Classification,
    ];
    assert.equal([label, predicted], [expected, expected === null ? [] : [expected]]);
    assert.is(probability, expected === null ? null : probabilities[expected]);
    classifier.destroy();
  }
});

test("a table that changes while it is labelled is refused, and leaves no file", async () => {
  const rows = Array.from({ length: 40 }, (_, i) => `${i},see you at ${i} or so\n`).join("");
  const before = `id,text\n${rows}`;
  const changes: [change: (path: string) => void, ...words: string[]][] = [
    [(path) => writeFileSync(path, before.replaceAll("or so", "at 12")), "other rows"],
    [(path) => truncateSync(path, 500), "file ended"],
    [(path) => writeFileSync(path, before.replaceAll(",see", ' "see')), "wrong number of fields"],
  ];
  mkdirSync(at("live"));
  for (const [change, ...words] of changes) {
    writeFileSync(at("live/in.csv"), before);
    let isChanged = false;
    const onProgress = (done: number) => {
      if (done > 4 && !isChanged) change(at("live/in.csv"));
      isChanged ||= done > 4;
    };
    await assertFails("inputs-changed", ["has changed while", "in.csv", "at the start", ...words], () =>
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
  const { classifier } = await trained();
  const [first, second] = (await classifier.classify(["see you", "call now"])).map(({ label, probability }) =>
    csv(label!, probability!.toFixed(6)),
  );
  assert.is(
    read("gaps-out.csv"),
    `,\n id,text,predicted,probability\n1,see you${first}\n2,,,\n,,,\n3,  ,,\n   \n4,call now${second}\n,,,\n`,
  );
  writeFileSync(at("nothing.tsv"), "id\ttext\n1\t\n");
  await label("nothing.tsv", "nothing-out.tsv");
  assert.is(read("nothing-out.tsv"), "id\ttext\tpredicted\tprobability\n1\t\t\t\n");
  assert.equal(await classifier.classify(["\n "]), [{ label: null, probability: null, probabilities: {} }]);
});

test("a path names the texts within objects; an object's name is taken, too", async () => {
  const rows = ['{"predicted": {"x": 1}, "message": {"body": "you have won"}FIELDS}', '{"message":{"body":""}FIELDS}'];
  const content = `{}\n${rows.join("\n")}\n`;
  writeFileSync(at("bare.jsonl"), content.replaceAll("FIELDS", ""));
  await assertFails("no-such-column", ['no column "body"', "predicted.x, message.body"], () =>
    label("bare.jsonl", "x.jsonl", { textColumn: "body" }),
  );
  await assertFails("no-such-key", ['no "message.body"', "bare.jsonl:1"], () =>
    label("bare.jsonl", "x.jsonl", { textColumn: "message.body" }),
  );
  writeFileSync(at("nested.jsonl"), rows.join("\n").replaceAll("FIELDS", ""));
  await label("nested.jsonl", "nested-out.jsonl", { textColumn: "message.body" });
  const [{ label: predicted, probability }] = (await (await trained()).classifier.classify("you have won")) as [
    Classification,
  ];
  const results = [
    `,"predicted_2":"${predicted}","probability_2":${probability!.toFixed(6)}`,
    ',"predicted_2":null,"probability_2":null',
  ];
  assert.is(read("nested-out.jsonl"), rows.map((row, i) => row.replace("FIELDS", results[i]!)).join("\n"));
});

test("other encodings are written as UTF-8; other bytes than UTF-8 in a text are refused", async () => {
  const content = "id,text\n1,über\n";
  writeFileSync(at("wide.csv"), Buffer.from(`\uFEFF${content}`, "utf16le"));
  await label("wide.csv", "wide-out.csv");
  assert.match(read("wide-out.csv"), /^id,text,predicted,probability\n1,über,(ham|spam),\d\.\d{6}\n$/);
  writeFileSync(at("latin.csv"), Buffer.from(content, "latin1"));
  await assertFails("not-utf8", ["latin.csv:2", "encoding"], () => label("latin.csv", "x.csv"));
});

test("Parquet is read, and written as CSV", async () => {
  writeFileSync(at("p.parquet"), PARQUET);
  await label("p.parquet", "p.csv");
  const results = await (await trained()).classifier.classify(['you have won, "now"', "see you\nat lunch", ""]);
  const [a, b, c] = results.map(({ label, probability }) => csv(label ?? "", probability?.toFixed(6) ?? ""));
  assert.is(
    read("p.csv"),
    "id,message,when,tags,score,predicted,probability\r\n" +
      `1,"you have won, ""now""",2024-01-02T03:04:05.000Z,"[""a"",""b""]",0.5${a}\r\n` +
      `2,"see you\nat lunch",,[],${b}\r\n9007199254740993,,,,-1.25${c}\r\n`,
  );
});

testAll("a command that is killed leaves no output, and starts again", async () => {
  await trained();
  const rows = Array.from(
    { length: 6000 },
    (_, i) => `${i},${quoted(`${TEXTS[i % 6]}${" please".repeat(i % 9)}`)}\r\n`,
  );
  writeFileSync(at("long.csv"), `id,text\r\n${rows.join("")}`);
  mkdirSync(at("killed"));
  const args = ["--in", "long.csv", "--out", "killed/out.csv"];
  const hasBegun = () => readdirSync(at("killed")).some((name) => statSync(at(`killed/${name}`)).size > 0);
  const killed = await classify(args, { killWhen: hasBegun });
  assert.is(killed.code, null, "it was faster than the kill");
  assert.not.ok(existsSync(at("killed/out.csv")));
  const whole = await classify(args);
  assertCode(whole, 0);
  assert.match(whole.stderr, /^long\.csv: 6000 rows, texts in column "text"$/m);
  assert.match(whole.stderr, /^row \d+\/6000 {2}\d+ s left {2}\d+ rows\/s$/m);
  assert.match(
    whole.stderr,
    /^6000 rows, \d+ rows\/s, on CPU.*\nsaved to killed\/out\.csv, with columns predicted and probability/m,
  );
  assert.is(whole.stdout, "");
  assert.is(
    read("killed/out.csv").replaceAll(/,((ham|spam),0\.\d{6}|predicted,probability|,)(?=\r)/g, ""),
    read("long.csv"),
  );
});

test("what cannot be labelled is refused before any work", async () => {
  writeFileSync(at("in.csv"), "id,message\n1,see you at lunch\n");
  writeFileSync(at("there.csv"), "mine");
  writeFileSync(at("quote.csv"), 'id,message\n1,a\n2,"see you');
  writeFileSync(at("short.csv"), "id,message\n1,a\n2");
  writeFileSync(at("cut.jsonl"), '{"text":"a"}\n{"text":"b');
  writeFileSync(at("key.jsonl"), '{"text":"a"}\n{"txt":"b"}\n');
  writeFileSync(at("columns.csv"), "id,words,more\n1,a,b\n");
  writeFileSync(at("cut.parquet"), PARQUET.subarray(0, 700));
  symlinkSync("in.csv", at("link.csv"));
  linkSync(at("in.csv"), at("hard.csv"));
  mkdirSync(at("folder.csv"), { recursive: true });
  const cases: [args: string, code: ErrorCode, ...words: string[]][] = [
    ["--in in.csv --out in.csv --force", "invalid-output", "--out is the file of --in"],
    ["--in in.csv --out link.csv --force", "invalid-output", "--out is the file of --in"],
    ["--in link.csv --out hard.csv --force", "invalid-output", "--out is the file of --in"],
    ["--in in.csv --out there.csv", "output-exists", "force"],
    ["--in in.csv --out folder.csv --force", "invalid-output", "--out is a folder"],
    ["--in in.csv --out there.csv/x.csv", "invalid-output", "cannot be created", "there.csv/x.csv"],
    ["--in in.csv --out x.tsv", "invalid-output", "another format", "ends in .csv"],
    ["--in p.parquet --out p.parquet", "invalid-output", "written as CSV"],
    ["--in none.csv --out x.csv", "cannot-read-file", "no such file"],
    ["--in in.csv --out x.csv --text-column mesage", "no-such-column", 'no column "mesage"', 'did you mean "message"?'],
    ["--in columns.csv --out x.csv", "column-not-recognized", "id, words, more", "textColumn"],
    ["--in quote.csv --out x.csv", "unclosed-quote", "quote.csv:3"],
    ["--in short.csv --out x.csv", "wrong-field-count", "short.csv:3"],
    ["--in cut.jsonl --out x.jsonl", "row-not-json-object", "cut.jsonl:2"],
    ["--in key.jsonl --out x.jsonl", "no-such-key", 'no "text"', "key.jsonl:2"],
    ["--in cut.parquet --out x.csv", "invalid-parquet"],
  ];
  rmSync(at("x.csv"), { force: true });
  for (const [line, code, ...words] of cases) {
    const [, input, output, textColumn] = /^--in (\S+) --out (\S+)(?: --text-column (\S+))?/.exec(line)!;
    const flags = { in: at(input!), out: at(output!), device: "wasm", force: line.endsWith("--force") } as const;
    await assertFails(code, words, () => labelFile(at("run"), { ...flags, ...(textColumn ? { textColumn } : {}) }));
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
  const flags = { in: at("in.csv"), out: at("to-there.csv"), device: "wasm" } as const;
  await labelFile(at("run"), { ...flags, force: true });
  assert.ok(lstatSync(at("to-there.csv")).isSymbolicLink());
  assert.match(read("there.csv"), /^id,message,predicted,probability\n1,see you at lunch,(ham|spam),[01]\.\d{6}\n$/);
  // It is written while the rows are labelled.
  const onProgress = () => writeFileSync(at("late.csv"), "mine");
  await assertFails("output-exists", ["late.csv"], () => label("in.csv", "late.csv", { onProgress }));
  assert.is(read("late.csv"), "mine");
});

test("a file in place of texts is read from the column of the run's training; a name without a file is no text", async () => {
  const columns = { text: "see you", message: "call now" };
  writeFileSync(at("both.jsonl"), `${JSON.stringify(columns)}\n`);
  const finished = await classify(["both.jsonl"]);
  assertCode(finished, 0);
  assert.match(finished.stderr, /^both\.jsonl: 1 rows, texts in column "text"$/m);
  assert.match(finished.stdout, /^(ham|spam)\t[01]\.\d{4}\tsee you(\t.*)?\n$/);
  const refused: [args: string[], words: RegExp][] = [
    [["none.csv"], /cannot read none\.csv[\s\S]*no such file[\s\S]*echo none\.csv \|/],
    [["both.jsonl", "none.csv"], /look like files/],
    [["--adapter", "run", "in.csv"], /exactly one of --run and --adapter/],
    [["--file", "in.csv"], /unknown option '--file'\n\(Did you mean --in\?\)/],
  ];
  for (const [args, words] of refused) {
    const { stderr, ...rest } = await classify(args);
    assertCode({ stderr, ...rest }, 2);
    assert.match(stderr, words);
  }
});

test("the column of the training is only a default", async () => {
  const usedColumn = async (content: string, textColumn?: string) => {
    writeFileSync(at("some.csv"), content);
    const table = await openTable(at("some.csv"), { textColumn, likelyTextColumn: "Body text" });
    await table.close();
    return table.textColumn;
  };
  assert.is(await usedColumn("text,body_text\na,b\n"), "body_text");
  assert.is(await usedColumn("text,body_text\na,b\n", "text"), "text");
  assert.is(await usedColumn("id,message\n1,b\n"), "message");
  assert.is(await usedColumn("ham,see you at lunch\nspam,you have won a prize\nham,see you\n"), "text");
});
