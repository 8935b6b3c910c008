/** classify --in FILE --out FILE: the same rows in order, byte for byte, with a label; killed and continued. */
import {
  appendFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { openDevice } from "../../src/backend/device.ts";
import { labelFile } from "../../src/commands/label.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import { ConfigError, DataError, FormatError, LowrankError } from "../../src/errors.ts";
import { type Classification, Classifier } from "../../src/infer/classifier.ts";
import { type LabelSettings, labelTable, survey } from "../../src/infer/label-table.ts";
import { openTable } from "../../src/infer/open-table.ts";
import type { Table } from "../../src/infer/table.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { afterAll, test } from "../helpers/harness.ts";
import { PARQUET } from "../helpers/parquet.ts";
import { assertCode, runCommand, type SpawnOptions } from "../helpers/spawn.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), "utf8");
tinyModel(at("model"));
writeFileSync(at("messages.csv"), messages(20));
const classify = (args: string[], more: Partial<SpawnOptions> = {}) =>
  runCommand("classify", ["--run", "run", "--device", "wasm", ...args], { cwd: folder, ...more });

let device: Backend;
let classifier: Classifier;
afterAll(async () => {
  for (const table of tables.values()) await table.close();
  classifier.destroy();
  device.destroy();
});

test("a run to label with", async () => {
  const args = ["--model", "model", "--text-column", "text", "--epochs", "1", "--device", "wasm", "--out", "run"];
  assertCode(await runCommand("train", ["messages.csv", ...args], { cwd: folder }), 0);
  device = await openDevice("wasm", { threads: 1 });
  classifier = await Classifier.load(at("run"), { device });
});

const SETTINGS: LabelSettings = {
  version: "1",
  input: "a",
  model: "b",
  device: "wasm",
  dtype: "f32",
  textColumn: "text",
  encoding: "utf-8",
};

const tables = new Map<string, Table>();

/** Labels a file into another one; returns the number of rows that were there before, "done" if all were. */
async function label(
  input: string,
  output: string,
  { force = false, settings = SETTINGS, textColumn = undefined as string | undefined } = {},
) {
  const table = tables.get(input) ?? (await openTable(at(input), { textColumn }));
  tables.set(input, table);
  let resumed = 0;
  const onProgress = (_: number, kept: number) => {
    resumed = kept;
  };
  const options = { output: at(output), settings, force, check: async () => {}, onProgress };
  const isNew = await labelTable(table, await survey(table, input), classifier, options);
  return isNew ? resumed : "done";
}

/** Writes an unfinished copy with its settings. */
function begin(output: string, copy: string | Uint8Array, settings = SETTINGS): void {
  writeFileSync(at(`${output}.part.json`), JSON.stringify({ format: "lowrank-labels", ...settings }));
  writeFileSync(at(`${output}.part`), copy);
}

/** Whether nothing of an unfinished copy is beside an output. */
function assertNothingLeft(output: string): void {
  for (const left of [".part", ".part.json"]) assert.not.ok(existsSync(at(output + left)), left);
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

for (const [name, { content, column, texts, header = "", fields = csv }] of Object.entries(SAMPLES)) {
  const input = content.replaceAll(/HEADER|FIELDS/g, "");
  const file = join("samples", name);

  test(`${name}: rows and texts, whatever is read at a time`, async () => {
    mkdirSync(at("samples"), { recursive: true });
    writeFileSync(at(file), input);
    for (const bytes of [1, 2, 3, 5, 64, 1 << 16]) {
      const table = await openTable(at(file), { chunkBytes: bytes });
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
      assert.is(marked.join(""), content, `${bytes} bytes`);
      await table.close();
    }
  });

  test(`${name}: the copy is the file with labels in it`, async () => {
    const output = join("samples", `out-${name}`);
    await label(file, output);
    const results = await classifier.classify(texts);
    let next = 0;
    const expected = content.replace("HEADER", header).replaceAll("FIELDS", () => {
      const { label, probability } = results[next++]!;
      return fields(label ?? "", probability?.toFixed(6) ?? "");
    });
    assert.is(read(output), expected);
    assertNothingLeft(output);
  });

  test(`${name}: cut off anywhere, the copy is completed to the same bytes`, async () => {
    const output = join("samples", `cut-${name}`);
    const whole = readFileSync(at(join("samples", `out-${name}`)));
    let most = 0;
    for (let cut = 0; cut <= whole.length; cut += 2) {
      begin(output, whole.subarray(0, cut));
      most = Math.max(most, Number(await label(file, output)));
      assert.is(readFileSync(at(output)).compare(whole), 0, `cut at ${cut}`);
      rmSync(at(output));
    }
    assert.ok(most >= texts.length - 1, `${most} rows were kept`);
  });
}

test("what is not a labelled row of this table is cut off", async () => {
  const whole = read("samples/out-mixed.csv");
  const file = join("samples", "mixed.csv");
  for (const other of [
    whole.replace("last", "lost"),
    whole.replace(/(spam|ham),0/, "eggs,0"),
    whole.replace(/\.\d{6}/, ".12345x"),
    `${whole}more`,
  ]) {
    assert.not.equal(other, whole);
    begin("x.csv", other);
    assert.type(await label(file, "x.csv"), "number");
    assert.is(read("x.csv"), whole);
    rmSync(at("x.csv"));
  }
  const one = join("samples", "one.csv");
  begin("x.csv", `${read("samples/out-one.csv")}more`);
  await label(one, "x.csv");
  assert.is(read("x.csv"), read("samples/out-one.csv"));
});

test("an unfinished copy of something else is refused, and replaced with force", async () => {
  const file = join("samples", "one.csv");
  const whole = read("samples/out-one.csv");
  for (const [key, value] of Object.entries({
    input: "A",
    model: "B",
    device: "webgpu",
    dtype: "f16",
    textColumn: "T",
  })) {
    rmSync(at("y.csv"), { force: true });
    begin("y.csv", whole.slice(0, -3));
    const settings = { ...SETTINGS, [key]: value } as LabelSettings;
    await assertFails(ConfigError, "unfinished-output-differs", [`${key} ${value}`, "--force"], () =>
      label(file, "y.csv", { settings }),
    );
    assert.is(await label(file, "y.csv", { settings, force: true }), 0);
    assert.is(read("y.csv"), whole);
  }
  writeFileSync(at("y.csv.part"), "years");
  for (const force of [false, true])
    await assertFails(ConfigError, "files-in-the-way", ["y.csv.part"], () => label(file, "y.csv", { force }));
  assert.is(read("y.csv.part"), "years");
  rmSync(at("y.csv.part"));
  writeFileSync(at("y.csv.part.json"), '{ "theirs": true }');
  await assertFails(ConfigError, "files-in-the-way", ["y.csv.part.json"], () => label(file, "y.csv", { force: true }));
});

test("a damaged record of an unfinished copy is refused, and replaced with force", async () => {
  const file = join("samples", "one.csv");
  for (const damaged of ["", '{"format": "lowrank-la', "\0\0\0"]) {
    begin("d.csv", "id,te");
    writeFileSync(at("d.csv.part.json"), damaged);
    await assertFails(ConfigError, "unfinished-output-damaged", ["d.csv.part.json", "--force"], () =>
      label(file, "d.csv"),
    );
    assert.is(await label(file, "d.csv", { force: true }), 0);
    assert.is(read("d.csv"), read("samples/out-one.csv"));
    assertNothingLeft("d.csv");
    rmSync(at("d.csv"));
  }
});

for (const name of Object.keys(SAMPLES))
  test(`${name}: what is there already is recognized by its rows and labels, and nothing else is`, async () => {
    const [file, output] = [join("samples", name), join("samples", `out-${name}`)];
    const whole = read(output);
    const { ino } = statSync(at(output));
    assert.is(await label(file, output), "done");
    // Killed after the copy had its name.
    writeFileSync(at(`${output}.part.json`), JSON.stringify({ format: "lowrank-labels", ...SETTINGS }));
    assert.is(await label(file, output), "done");
    assertNothingLeft(output);
    // Begun again with force, and killed.
    begin(output, whole.slice(0, -2));
    assert.is(await label(file, output), "done");
    assertNothingLeft(output);
    // By another job, which may be continued.
    begin(output, whole.slice(0, -2), { ...SETTINGS, model: "other" });
    assert.is(await label(file, output), "done");
    assert.is(read(`${output}.part`), whole.slice(0, -2));
    for (const left of [".part", ".part.json"]) rmSync(at(output + left));
    assert.is(statSync(at(output)).ino, ino, "it was written again");
    for (const other of [
      `${whole}more`,
      whole.slice(0, -3),
      whole.replace(/(0\.\d{5})(\d)/, (_, digits, last) => `${digits}${(Number(last) + 1) % 10}`),
      whole.replace(/(?<=[,;\t]|":")(ham|spam)(?=[,;\t"])/, (label) => (label === "ham" ? "spam" : "ham")),
    ]) {
      assert.is.not(other, whole);
      writeFileSync(at("other"), other);
      await assertFails(ConfigError, "output-exists", ["--force"], () => label(file, "other"));
      assert.is(read("other"), other);
    }
  });

test("a table that changes while it is labelled is refused; as it was, the same command continues", async () => {
  const rows = Array.from({ length: 40 }, (_, i) => `${i},see you at ${i} or so\n`).join("");
  const before = `id,text\n${rows}`;
  const changes: [change: (path: string) => void, ...words: string[]][] = [
    [(path) => writeFileSync(path, before.replaceAll("or so", "at 12")), "other rows"],
    [(path) => truncateSync(path, 500), "file ended"],
    [(path) => writeFileSync(path, before.replaceAll(",see", ' "see')), "wrong number of fields"],
  ];
  for (const [change, ...words] of changes) {
    writeFileSync(at("live.csv"), before);
    const table = await openTable(at("live.csv"), { chunkBytes: 64 });
    const surveyed = await survey(table, "live.csv");
    const options = { output: at("live-out.csv"), settings: SETTINGS, force: false, check: async () => {} };
    let isChanged = false;
    const onProgress = (done: number) => {
      if (done > 4 && !isChanged) change(at("live.csv"));
      isChanged ||= done > 4;
    };
    await assertFails(DataError, "inputs-changed", ["has changed while", "live.csv", "at the start", ...words], () =>
      labelTable(table, surveyed, classifier, { ...options, onProgress }),
    );
    assert.not.ok(existsSync(at("live-out.csv")), "the mixture is there");
    writeFileSync(at("live.csv"), before);
    let kept = 0;
    const seeKept = (_: number, resumed: number) => {
      kept = resumed;
    };
    assert.ok(await labelTable(table, surveyed, classifier, { ...options, onProgress: seeKept }));
    assert.ok(kept > 4 && kept < 40, `${kept} rows were kept`);
    const labelled = read("live-out.csv").split("\n");
    assert.is(labelled.map((line) => line.split(",").slice(0, 2).join()).join("\n"), before);
    rmSync(at("live-out.csv"));
    await table.close();
  }
});

test("rows without a text have no label: empty cells, spaces, whole empty rows; they are counted", async () => {
  writeFileSync(at("gaps.csv"), ",\n id,text\n1,see you\n2,\n,\n3,  \n   \n4,call now\n,\n");
  const table = await openTable(at("gaps.csv"));
  const { rows, blank } = await survey(table, "gaps.csv");
  await table.close();
  assert.equal([rows, blank], [6, 4]);
  assert.is(await label("gaps.csv", "gaps-out.csv"), 0);
  const [first, second] = (await classifier.classify(["see you", "call now"])).map(({ label, probability }) =>
    csv(label!, probability!.toFixed(6)),
  );
  assert.is(
    read("gaps-out.csv"),
    `,\n id,text,predicted,probability\n1,see you${first}\n2,,,\n,,,\n3,  ,,\n   \n4,call now${second}\n,,,\n`,
  );
  assert.is(await label("gaps.csv", "gaps-out.csv"), "done");
  writeFileSync(at("nothing.tsv"), "id\ttext\n1\t\n");
  await label("nothing.tsv", "nothing-out.tsv");
  assert.is(read("nothing-out.tsv"), "id\ttext\tpredicted\tprobability\n1\t\t\t\n");
  assert.equal(await classifier.classify(["\n "]), [{ label: null, probability: null, probabilities: {} }]);
});

test("a path names the texts within objects; an object's name is taken, too", async () => {
  const rows = ['{"predicted": {"x": 1}, "message": {"body": "you have won"}FIELDS}', '{"message":{"body":""}FIELDS}'];
  const content = `{}\n${rows.join("\n")}\n`;
  writeFileSync(at("bare.jsonl"), content.replaceAll("FIELDS", ""));
  await assertFails(DataError, "no-such-column", ['no column "body"', "predicted.x, message.body"], () =>
    label("bare.jsonl", "x.jsonl", { textColumn: "body" }),
  );
  await assertFails(FormatError, "no-such-key", ['no "message.body"', "bare.jsonl:1"], () =>
    label("bare.jsonl", "x.jsonl", { textColumn: "message.body" }),
  );
  writeFileSync(at("nested.jsonl"), rows.join("\n").replaceAll("FIELDS", ""));
  await label("nested.jsonl", "nested-out.jsonl", { textColumn: "message.body" });
  const [{ label: predicted, probability }] = (await classifier.classify("you have won")) as [Classification];
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
  await assertFails(FormatError, "not-utf8", ["latin.csv:2", "--encoding"], () => label("latin.csv", "x.csv"));
});

test("Parquet is read, and written as CSV", async () => {
  writeFileSync(at("p.parquet"), PARQUET);
  await label("p.parquet", "p.csv");
  const results = await classifier.classify(['you have won, "now"', "see you\nat lunch", ""]);
  const [a, b, c] = results.map(({ label, probability }) => csv(label ?? "", probability?.toFixed(6) ?? ""));
  assert.is(
    read("p.csv"),
    "id,message,when,tags,score,predicted,probability\r\n" +
      `1,"you have won, ""now""",2024-01-02T03:04:05.000Z,"[""a"",""b""]",0.5${a}\r\n` +
      `2,"see you\nat lunch",,[],${b}\r\n9007199254740993,,,,-1.25${c}\r\n`,
  );
});

test("a column of Parquet names adapters", async () => {
  const adaptersIn = async (adapterColumn: string) => {
    const table = await openTable(at("p.parquet"), { adapterColumn });
    const rows = [];
    for await (const some of table.rows()) rows.push(...some.filter(({ text }) => text !== null));
    await table.close();
    return rows.map(({ adapter }) => adapter);
  };
  assert.equal(await adaptersIn("id"), ["1", "2", "9007199254740993"]);
  assert.equal(await adaptersIn("score"), ["0.5", "", "-1.25"]);
  await assertFails(DataError, "value-not-text", ['"tags" is not a text', "row 1", "a list"], () => adaptersIn("tags"));
});

test("a command that is killed continues, with progress, and the copy is that of an undisturbed one", async () => {
  const rows = Array.from(
    { length: 6000 },
    (_, i) => `${i},${quoted(`${TEXTS[i % 6]}${" please".repeat(i % 9)}`)}\r\n`,
  );
  writeFileSync(at("long.csv"), `id,text\r\n${rows.join("")}`);
  const whole = await classify(["--in", "long.csv", "--out", "whole.csv"]);
  assertCode(whole, 0);
  assert.match(whole.stderr, /^long\.csv: 6000 rows, texts in column "text"$/m);
  assert.match(whole.stderr, /^row \d+\/6000 {2}\d+ s left {2}\d+ rows\/s$/m);
  assert.match(
    whole.stderr,
    /^6000 rows, \d+ rows\/s, on CPU.*\nsaved to whole\.csv, with columns predicted and probability$/m,
  );
  assert.is(whole.stdout, "");
  const args = ["--in", "long.csv", "--out", "killed.csv"];
  const part = at("killed.csv.part");
  const killed = await classify(args, { killWhen: () => existsSync(part) && statSync(part).size > 0 });
  assert.is(killed.code, null, "it was faster than the kill");
  assert.not.ok(existsSync(at("killed.csv")));
  const { size } = statSync(part);
  let isLonger = false;
  const append = () => {
    if (isLonger || !existsSync(part) || statSync(part).size <= size) return false;
    appendFileSync(at("long.csv"), "6000,see you\r\n");
    isLonger = true;
    return false;
  };
  const continued = await classify(args, { killWhen: append });
  assertCode(continued, 0);
  assert.match(continued.stderr, /^continued after row \d{3,4}$/m);
  assert.ok(isLonger, "it was faster than the change");
  assert.match(
    continued.stderr,
    /^long\.csv was written to or replaced meanwhile: killed\.csv has the rows that it had/m,
  );
  assert.is(read("killed.csv"), read("whole.csv"));
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
    ["--in in.csv --out there.csv", "output-exists", "--force"],
    ["--in in.csv --out folder.csv --force", "invalid-output", "--out is a folder"],
    ["--in in.csv --out there.csv/x.csv", "invalid-output", "cannot be created", "there.csv/x.csv"],
    ["--in in.csv --out x.tsv", "invalid-output", "another format", "ends in .csv"],
    ["--in p.parquet --out p.parquet", "invalid-output", "written as CSV"],
    ["--in none.csv --out x.csv", "cannot-read-file", "no such file"],
    ["--in in.csv --out x.csv --text-column mesage", "no-such-column", 'no column "mesage"', 'did you mean "message"?'],
    ["--in columns.csv --out x.csv", "column-not-recognized", "id, words, more", "--text-column"],
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
    await assertFails(LowrankError, code, words, () =>
      labelFile(at("run"), { ...flags, ...(textColumn ? { textColumn } : {}) }),
    );
  }
  assert.equal([read("in.csv"), read("there.csv")], ["id,message\n1,see you at lunch\n", "mine"]);
  for (const name of ["x.csv", "x.jsonl", "x.csv.part"]) assert.not.ok(existsSync(at(name)), name);
});

test("flags that do not go together are refused, with exit code 2", async () => {
  for (const args of ["--out x.csv", "--in in.csv --out x.csv text", "--force text"]) {
    const finished = await classify(args.split(" "));
    assertCode(finished, 2);
    assert.match(finished.stderr, "the flags do not go together");
  }
});

test("--force replaces an output when the new one is finished, behind a link; then the same command is done", async () => {
  symlinkSync("there.csv", at("to-there.csv"));
  const args = ["in.csv", "--out", "to-there.csv"];
  assertCode(await classify([...args, "--force"]), 0);
  assert.ok(lstatSync(at("to-there.csv")).isSymbolicLink());
  assert.match(read("there.csv"), /^id,message,predicted,probability\n1,see you at lunch,(ham|spam),[01]\.\d{6}\n$/);
  const again = await classify(args);
  assertCode(again, 0);
  assert.match(again.stderr, /^already done: to-there\.csv, with columns predicted and probability$/m);
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
