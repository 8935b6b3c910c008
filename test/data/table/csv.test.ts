/** Files to rows: CSV, TSV and JSON lines, whole and in pieces, good and malformed. */

import * as assert from "uvu/assert";
import { bytesReader, Corpus, type ReadOptions } from "../../../src/data/corpus.ts";
import { DataModule } from "../../../src/data/wasm.ts";
import type { ErrorCode } from "../../../src/error-codes.ts";
import { FormatError, LowrankError } from "../../../src/errors.ts";
import { joinPair } from "../../../src/pair.ts";
import { Rng } from "../../../src/rng.ts";
import { assertFails } from "../../helpers/border.ts";
import { test, testAll } from "../../helpers/harness.ts";
import { testRounds } from "../../helpers/rounds.ts";
import { slowCsv } from "../../helpers/slow-csv.ts";

let module: DataModule | undefined;

type Row = [label: string, text: string];
type Content = string | Uint8Array;

/** Rows of a label and a text, given one behind the other. */
const inRows = (...fields: string[]) =>
  Array.from({ length: fields.length / 2 }, (_, i): Row => [fields[2 * i]!, fields[2 * i + 1]!]);

function asBytes(content: Content): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

async function read(name: string, content: Content, options: Partial<ReadOptions> = {}) {
  module ??= await DataModule.load();
  const corpus = new Corpus(module);
  const file = bytesReader(name, asBytes(content));
  const rows = await corpus.read(file, {
    labelsAre: "class" as const,
    maxLength: 1024,
    chunkBytes: 1 << 16,
    ...options,
  });
  const { labels } = corpus.table(rows, 0);
  const found = Array.from(rows, (row, i): Row => [corpus.labels[labels[i]!]!, joinPair(corpus.text(row))]);
  return { corpus, rows: found };
}

async function csvRows(name: string, content: Content, options: Partial<ReadOptions> = {}): Promise<Row[]> {
  return (await read(name, content, options)).rows;
}

/** Reading must fail with this code, at this place, and a message that has each of `words`. */
async function fails(
  name: string,
  content: Content,
  where: string,
  code: ErrorCode,
  words: string[],
  options: Partial<ReadOptions> = {},
) {
  const message = await assertFails(code, words, () => read(name, content, options));
  assert.match(`${message}\n`, `\n  where:    ${where}\n`);
}

/** Checks the rows, and that every chunk size from one byte on gives the same. */
async function check(name: string, content: Content, expected: Row[], options: Partial<ReadOptions> = {}) {
  const { length } = asBytes(content);
  assert.equal(await csvRows(name, content, options), expected);
  for (let chunkBytes = 1; chunkBytes <= length; chunkBytes++) {
    assert.equal(await csvRows(name, content, { ...options, chunkBytes }), expected, `${chunkBytes} bytes a chunk`);
  }
}

test("RFC 4180: quotes, doubled quotes, separators and line ends within quotes", async () => {
  const content = 'label,text\nham,plain\nspam,"a ""b"", c"\nham,"two\nlines"\r\nspam,"CR\r\nLF"\nham,""\n';
  await check("a.csv", content, [
    ["ham", "plain"],
    ["spam", 'a "b", c'],
    ["ham", "two\nlines"],
    ["spam", "CR\r\nLF"],
    ["ham", ""],
  ]);
});

test("line ends: LF, CRLF, CR, none at the end; blank lines are skipped", async () => {
  const expected: Row[] = inRows("ham", "one", "spam", "two");
  for (const end of ["\n", "\r\n", "\r"]) {
    await check("a.csv", ["label,text", "ham,one", "spam,two", ""].join(end), expected);
    await check("a.csv", ["label,text", "", "ham,one", "", "", "spam,two"].join(end), expected);
    await check("a.csv", `${end}label,text${end}"ham","one"${end}"spam","two"`, expected);
  }
});

test("rows of a spreadsheet with nothing but separators and white space are skipped, also before the header", async () => {
  const expected: Row[] = inRows("ham", "one", "spam", "two");
  await check("a.csv", ',\n , \nlabel,text\nham,one\n,\n"",""\n,,,\nspam,two\n" ",\n', expected);
  await check("a.csv", ";\r\nlabel;text\r\n;\r\nham;one\r\nspam;two\r\n;\r\n;", expected);
  await check("a.tsv", "\t\nlabel\ttext\nham\tone\n\t\n  \nspam\ttwo\n\t", expected);
  await check("a.csv", "ham,one\n,\nspam,two\nham,three\n", [...expected, ["ham", "three"]]);
  await fails("a.csv", "label,text\nham,one\n,two\n", "a.csv:3", "row-without-label", ["label"]);
});

test("a byte order mark is dropped, and only at the file's start", async () => {
  const expected: Row[] = inRows("ham", "one", "spam", "\uFEFFtwo");
  await check("a.csv", "\uFEFFlabel,text\nham,one\nspam,\uFEFFtwo\n", expected);
  await check("a.tsv", "\uFEFFlabel\ttext\nham\tone\nspam\t\uFEFFtwo\n", expected);
  await check("a.jsonl", '\uFEFF{"label":"ham","text":"one"}\n{"label":"spam","text":"\uFEFFtwo"}\n', expected);
});

test("the start of a byte order mark without its end is text", async () => {
  const head = new Uint8Array([0xef, 0xbb]);
  const content = new Uint8Array([...head, ...asBytes("x,text\na,één\nb,two\n")]);
  for (const chunkBytes of [1, 2, 3, 100]) {
    const rows = await csvRows("a.csv", content, { chunkBytes, labelColumn: "\uFFFDx" });
    assert.equal(rows, inRows("a", "één", "b", "two"));
  }
});

test("a quote within an unquoted field is text, null bytes are text", async () => {
  await check("a.csv", 'label,text\nham,5" disk\nspam,a\0b\n', inRows("ham", '5" disk', "spam", "a\0b"));
});

test("TSV: a field is unquoted only where its closing quote ends it within the line", async () => {
  const content = [
    "label\ttext",
    'ham\t"a ""b"" c"',
    'spam\t"lonely quote',
    'ham\t"one" and "two"',
    'spam\ta, "b"',
    'ham\t"a\tb"',
    'spam\t"',
    'ham\t""',
    'spam\t"""',
  ].join("\r\n");
  await check("a.tsv", content, [
    ["ham", 'a "b" c'],
    ["spam", '"lonely quote'],
    ["ham", '"one" and "two"'],
    ["spam", 'a, "b"'],
    ["ham", "a\tb"],
    ["spam", '"'],
    ["ham", ""],
    ["spam", '"""'],
  ]);
});

test("JSON lines: escapes, surrogates, numbers, booleans, nested values aside", async () => {
  const content = [
    '{"text":"a\\"b\\\\c\\/d\\b\\f\\n\\r\\t","label":1}',
    '  { "label" : 0 , "text" : "\\u00e9\\u20AC \\ud83d\\ude00" , "meta" : {"a":[1,"]}",{}],"b":null} } ',
    "",
    '{"text":"lone \\ud83d and \\ude00\\ud83d\\u0041","label":1}',
    '{"text":true,"label":0,"text":-1.5e+3}',
    '{"text":"","label":1,"x":null,"y":false}',
  ].join("\n");
  await check("a.jsonl", content, [
    ["1", 'a"b\\c/d\b\f\n\r\t'],
    ["0", "é€ 😀"],
    ["1", "lone \uFFFD and \uFFFD\uFFFDA"],
    ["0", "-1.5e+3"],
    ["1", ""],
  ]);
});

test("labels: white space around them is dropped, integers keep their order, names are sorted", async () => {
  const readLabels = async (labels: string[]) =>
    (await read("a.csv", `label,text\n${labels.map((l) => `${l},x`).join("\n")}`)).corpus.labels;
  assert.equal(await readLabels([" spam", "ham ", "spam"]), ["ham", "spam"]);
  assert.equal(await readLabels(["b", "B", "a", "ab", "é"]), ["B", "a", "ab", "b", "é"]);
  const numbers = Array.from({ length: 300 }, (_, i) => String((i * 7) % 300));
  assert.equal(
    await readLabels(numbers),
    Array.from({ length: 300 }, (_, i) => String(i)),
  );
  assert.equal(await readLabels(["1", "2", "10"]), ["1", "10", "2"]);
  assert.equal(await readLabels(["00", "1"]), ["00", "1"]);
  const many = Array.from({ length: 5000 }, (_, i) => `class ${(i * 1237) % 5000}`);
  const { corpus, rows } = await read("a.csv", `label,text\n${many.map((l) => `${l},${l}`).join("\n")}`);
  assert.equal(corpus.labels, [...many].sort());
  assert.ok(rows.every(([label, text]) => label === text));
});

test("a file in another encoding is refused before anything else, with the likely encoding", async () => {
  const refused = async (content: Uint8Array | Buffer, options: Partial<ReadOptions> = {}) => {
    try {
      await read("a.csv", content, options);
    } catch (error) {
      assert.instance(error, FormatError);
      return error as FormatError;
    }
    throw new Error("the file was read");
  };
  const long = `a,${"x".repeat(200)}é${"y".repeat(200)}`;
  // Rows of other widths, and no column of texts: faults that would be found later.
  const latin = Buffer.from(`x,y,z\na,b\na,caf\xe9\x07\x9d\n${long}\n\xfcber,1,2\n\xe4\n`, "latin1");
  for (const skipFaulty of [false, true]) {
    const { message, details } = await refused(latin, { skipFaulty });
    assert.equal([details.encoding, details.where, details.found], ["windows-1252", "a.csv:3", undefined]);
    for (const words of ["This file is not UTF-8, but likely windows-1252", 'encoding "windows-1252"'])
      assert.ok(message.includes(words), message);
  }
  for (const encoding of ["utf-16le", "utf-16be"]) {
    const text = Buffer.from("label,text\n\na,é\nb,x\nc,y\n", "utf16le");
    const { details } = await refused(encoding === "utf-16le" ? text : text.swap16());
    assert.equal([details.encoding, details.where], [encoding, "a.csv:1"]);
  }
  const zeros = Buffer.from("a,b\xe9\x00\x00\xe9\x00,\x00", "latin1");
  assert.match((await refused(zeros)).message, /is not text/);
  for (const [start, what] of [
    ["PK\x03\x04\x00 xl/", "an Excel file"],
    ["PK\x03\x04\x00 word/", "a Word file"],
    ["PK\x03\x04\x00", "a zip file"],
    ["\xd0\xcf\x11\xe0", "an Office file of before 2007"],
    ["%PDF-1.7", "a PDF file"],
    ["\x89PNG", "a picture"],
  ] as const)
    assert.match((await refused(Buffer.from(start, "latin1"))).message, `This is ${what}`);
  // Lines longer than what is checked at a time, with characters across every border.
  const wide = `label,text\na,${"€".repeat(200_000)}\nb,${"ß".repeat(300_000)}x\n`;
  assert.is((await csvRows("a.csv", wide)).length, 2);
  assert.equal((await refused(Buffer.from(wide.replaceAll("€", "e"), "latin1"))).details.where, "a.csv:3");
});

test("Windows-1252, other encodings by their names, and UTF-16 by its mark, in pieces of every size", async () => {
  const high = Uint8Array.from({ length: 128 }, (_, i) => 128 + i);
  const content = new Uint8Array([...asBytes("label,text\na,"), ...high, ...asBytes("\nb,x\n")]);
  // What Node makes of it depends on its version.
  const first = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";
  const rest = Array.from({ length: 96 }, (_, i) => String.fromCharCode(160 + i)).join("");
  for (const encoding of ["windows-1252", "latin1"])
    await check("a.csv", content, [["a", first + rest], ["b", "x"]], { encoding }); // biome-ignore format: short
  const cyrillic = Uint8Array.of(...asBytes("label,text\na,"), 0xcf, 0xf0, ...asBytes("\nb,x\n"));
  assert.is((await csvRows("a.csv", cyrillic, { encoding: "windows-1251" }))[0]![1], "Пр");

  const text = 'label\ttext\nham\tnaïve 😀\nspam\t"最, ""後"""\n';
  const expected: Row[] = inRows("ham", "naïve 😀", "spam", '最, "後"');
  const units = Array.from({ length: text.length + 1 }, (_, i) => `\uFEFF${text}`.charCodeAt(i));
  const little = Uint8Array.from(units.flatMap((unit) => [unit & 255, unit >> 8]));
  const big = Uint8Array.from(units.flatMap((unit) => [unit >> 8, unit & 255]));
  for (const bytes of [little, big]) {
    await check("a.txt", bytes, expected);
    await check("a.csv", bytes, expected, { encoding: "windows-1252" });
    await fails("a.txt", bytes.subarray(0, -1), `a.txt, bytes 0 to ${bytes.length - 1}`, "invalid-text-encoding", [
      "not valid UTF-16",
      "cut off",
    ]);
  }
});

test("the separator is found by the rows' widths: comma, semicolon or tab, within quotes none", async () => {
  const expected: Row[] = inRows("ham", "one, two; three\tfour", "spam", 'a "b"', "ham", "two\nlines");
  const write = (separator: string, header = true) =>
    [...(header ? [["label", "text"]] : []), ...expected]
      .map(([label, text]) => `${label}${separator}"${text!.replaceAll('"', '""')}"\n`)
      .join("");
  for (const separator of [",", ";", "\t"]) await check("a.csv", write(separator), expected);
  for (const separator of [",", ";"]) await check("a.txt", write(separator), expected);
  for (const separator of [",", ";"]) await check("a.tsv", write(separator), expected);
  await check("a.csv", write(";", false), expected);
  // Commas in the texts of a file with semicolons or tabs, in as many rows or fewer.
  const texts = ["Hello, you", "Win, now", "plain"];
  for (const separator of [";", "\t"])
    for (const name of ["a.csv", "a.txt"])
      assert.equal(
        await csvRows(name, `label${separator}text\n${texts.map((t) => `x${separator}${t}\n`).join("")}`),
        texts.map((t) => ["x", t]),
      );
  // A row of another width is an error of the usual separator.
  await fails("a.csv", "label;text\nham;one\nham;a;b\nspam;c\n", "a.csv:3", "wrong-field-count", [
    "expected: 2 fields",
    "found:    3",
  ]);
});

test("JSON arrays of objects: on one line or many, in .json and .jsonl", async () => {
  const rows = [
    { label: "ham", text: 'a "b" [c] {d}\n\\' },
    { id: { deep: [1, "]}"] }, label: "spam", text: "é 😀" },
    { label: 1, text: "" },
  ];
  const expected = rows.map(({ label, text }): Row => [String(label), text]);
  await check("a.json", JSON.stringify(rows), expected);
  await check("a.jsonl", JSON.stringify(rows), expected);
  assert.equal(await csvRows("a.json", `\uFEFF \n${JSON.stringify(rows, null, 2)}\n`), expected);
  assert.equal(await csvRows("a.json", rows.map((row) => JSON.stringify(row)).join("\n")), expected);
});

test("errors of a JSON array name line and byte; faulty objects can be skipped; a cut file is told", async () => {
  const good = '{"text":"a","label":"b"}';
  const cases: [content: string, where: string, code: ErrorCode, words: string[]][] = [
    [`[${good},{"text":x}]`, "a.json:1:35", "row-not-json-object", ['found:    "x"']],
    [`[\n ${good},\n {"text":\n  x}]`, "a.json:4:3", "row-not-json-object", ['found:    "x"']],
    [`[${good}\n,{"text":"a"}]`, "a.json:2", "no-such-key", ['no "label"']],
    [`[${good} ${good}]`, "a.json:1:27", "invalid-json-array", ["commas"]],
    [`[${good},]`, "a.json:1:27", "invalid-json-array", ['found:    "]"']],
    [`[${good},1]`, "a.json:1:27", "invalid-json-array", ['found:    "1"']],
    [`[${good}]\n]`, "a.json:2:1", "invalid-json-array", []],
    [`[${good},\n{"text":"a`, "a.json:2", "unclosed-json-array", ["cut off"]],
    [`[${good},\n`, "a.json:2", "unclosed-json-array", ["cut off"]],
    ["[]", "a.json", "no-rows", []],
    ["[", "a.json:1", "unclosed-json-array", []],
  ];
  for (const [content, where, code, words] of cases)
    for (const chunkBytes of [1, 5, 1 << 16]) await fails("a.json", content, where, code, words, { chunkBytes });
  const faulty = `[${good},\n{"text":x},\n{"text":null,"label":"b"},{"label":"c","text":"d"}]`;
  const { rows, faults } = await leftOut("a.json", faulty);
  assert.equal(rows, inRows("b", "a", "c", "d"));
  assert.equal(
    faults.map(([where]) => where),
    ["a.json:2:9", "a.json:3"],
  );
});

test("a file that ends in a row says so", async () => {
  const cut = ["ends in this row", "cut off"];
  await fails("a.csv", "label,text,id\nham,one,1\nspam,tw", "a.csv:3", "wrong-field-count", cut);
  await fails("a.tsv", "label\ttext\tid\nham\tone\t1\nspam\ttw", "a.tsv:3", "wrong-field-count", cut);
  await fails("a.csv", 'label,text\nham,one\nspam,"tw', "a.csv:3", "unclosed-quote", ["cut off"]);
  await fails("a.jsonl", '{"label":"a","text":"b"}\n{"label":"a","te', "a.jsonl:2:17", "row-not-json-object", cut);
  await fails("a.csv", "label,text,id\nham,one\nspam,two,3", "a.csv:2", "wrong-field-count", ["quote fields"]);
});

test("errors name the line: CSV and TSV", async () => {
  await fails("a.csv", "label,text\nham,one\n\nham,a,b\n", "a.csv:4", "wrong-field-count", [
    "expected: 2 fields",
    "found:    3",
  ]);
  await fails("a.csv", 'label,text\nham,"one\ntwo\nthree"\nham\n', "a.csv:5", "wrong-field-count", ["found:    1"]);
  await fails("a.csv", 'label,text\r\nham,"one\r\ntwo"\r\nham\r\n', "a.csv:4", "wrong-field-count", ["found:    1"]);
  await fails("a.csv", 'label,text\nham,one\nham,"x\n\nspam,two\n', "a.csv:3", "unclosed-quote", ["opened on line 3"]);
  await fails("a.csv", 'label,text\n"ham\n","x\n\nspam,two\n', "a.csv:2", "unclosed-quote", ["opened on line 3"]);
  await fails("a.csv", 'label,text\nham,"one"x\n', "a.csv:2", "text-after-quote", ["after field 2", 'found:    "x"']);
  await fails("a.csv", "label,text\nham,one\n  ,two\n", "a.csv:3", "row-without-label", []);
  await fails("a.tsv", "label\ttext\nham\tone\nham two\n", "a.tsv:3", "wrong-field-count", ["found:    1"]);
});

test("errors name the line: JSON lines", async () => {
  const good = '{"text":"a","label":"b"}\n';
  await fails("a.jsonl", `${good}\n{"text":"a"}\n`, "a.jsonl:3", "no-such-key", ['no "label"']);
  await fails("a.jsonl", `${good}{"label":"a"}\n`, "a.jsonl:2", "no-such-key", ['no "text"']);
  await fails("a.jsonl", `${good}{"text":null,"label":"b"}`, "a.jsonl:2", "value-not-text", ['"text" has no text']);
  await fails("a.jsonl", `${good}{"text":"x","label":[1]}`, "a.jsonl:2", "value-not-text", ['"label" has no text']);
  const bad: [string, number][] = [
    ["[1]", 1],
    ["{", 2],
    ['{"text"}', 8],
    ['{"text":"a"', 12],
    ['{"text":"a",}', 13],
    ['{"text":01}', 10],
    ['{"text":1.}', 11],
    ['{"text":tru}', 12],
    ['{"text":"\\x"}', 11],
    ['{"text":"\\u12g4"}', 12],
    ['{"text":"a"} x', 14],
    ['{"text":{"a":[}', 16],
  ];
  for (const [line, column] of bad) {
    await fails("a.jsonl", `${good}${line}\n${good}`, `a.jsonl:2:${column}`, "row-not-json-object", []);
  }
});

test("errors of the whole file: empty, only a header, missing columns", async () => {
  await fails("a.csv", "", "a.csv", "no-rows", []);
  await fails("a.csv", "\n\n", "a.csv", "no-rows", []);
  await fails("a.jsonl", "", "a.jsonl", "no-rows", []);
  await fails("a.csv", "label,text\n", "a.csv", "no-rows", []);
  await fails("a.csv", "label:text\nham:one\n", "a.csv", "too-few-columns", ["label:text", "semicolons"]);
  await fails("a.csv", "a,b,c\n1,2,3\n", "a.csv", "column-not-recognized", ["text", "a, b, c", "textColumn"]);
  const choice = { textColumn: "massage" };
  await fails(
    "a.csv",
    "label,message\nham,one\n",
    "a.csv",
    "no-such-column",
    ["label, message", 'did you mean "message"'],
    choice,
  );
  await fails("a.csv", "label,text\nham,one\n", "a.csv", "same-column", [], {
    textColumn: "label",
    labelColumn: "label",
  });
  await fails("a.dat", "label,text\n", "a.dat", "unknown-data-format", [".jsonl"]);
});

test("a row that would fill memory is refused", async () => {
  const long = new Uint8Array((16 << 20) + 100).fill(0x61);
  long.set(asBytes('label,text\nham,"'));
  await fails("a.csv", long, "a.csv:2", "exceeds-limit", ["too long", "16 MiB"]);
  await fails("a.csv", new Uint8Array(5 << 20).fill(0x2c), "a.csv:1", "exceeds-limit", ["too long"]);
});

testAll("a row of doubled quotes that would fill memory is refused", () =>
  fails("a.csv", new Uint8Array(33 << 20).fill(0x22), "a.csv:1", "exceeds-limit", ["too long"]),
);

testRounds(500, 30_000, (rounds) => `${rounds} random files of CSV as an independent parser reads them`, checkCsv);

/** Malformed files fail with a line. */
async function checkCsv(rounds: number, seed: number) {
  const rng = new Rng(seed);
  const pool = ['"', '"', ",", "\n", "\r", "\r\n", "a", "b", " ", "é", "\0"];
  let good = 0;
  for (let round = 0; round < rounds; round++) {
    const body = Array.from({ length: rng.below(24) }, () => pool[rng.below(pool.length)]).join("");
    const content = `label,text\nx,"first"\n${body}`;
    const rows = slowCsv(content)?.slice(1);
    const fits = rows?.every((row) => row.length === 2 && row[0]!.replace(/[\t-\r ]/g, "") !== "");
    const chunkBytes = 1 + rng.below(8);
    try {
      const found = await csvRows("a.csv", content, { chunkBytes });
      assert.ok(fits, `read although malformed: ${JSON.stringify(content)}`);
      assert.equal(
        found,
        rows!.map(([label, text]) => [label!.replace(/^[\t-\r ]+|[\t-\r ]+$/g, ""), text]),
      );
      good++;
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      // Every second byte a zero: it looks like UTF-16.
      if (error.code === "not-utf8" && body.includes("\0")) continue;
      assert.not.ok(fits, `${JSON.stringify(content)}: ${error.message}`);
      assert.match(error.details.where ?? "", /^a\.csv:\d+$/);
    }
  }
  assert.ok(good > rounds / 30, `${good} well-formed files`);
}

testRounds(500, 30_000, (rounds) => `${rounds} random JSON lines as JSON.parse reads them`, checkLines);

async function checkLines(rounds: number, seed: number) {
  const rng = new Rng(seed);
  const pool = [..."\\u00e9 \\ud83d \\ude00 \\n".split(" "), ...'"\\{}[],:1-.ea '];
  let good = 0;
  for (let round = 0; round < rounds; round++) {
    const noise = Array.from({ length: rng.below(8) }, () => pool[rng.below(pool.length)]).join("");
    const line = rng.below(2) ? `{"label":"x","text":"${noise}"}` : `{"label":"x","text":${noise}}`;
    let expected: unknown;
    try {
      expected = JSON.parse(line).text;
    } catch {
      expected = undefined;
    }
    const content = `{"label":"x","text":"first"}\n${line}\n`;
    try {
      const rows = await csvRows("a.jsonl", content, { chunkBytes: 1 + rng.below(8) });
      assert.is.not(expected, undefined, line);
      if (typeof expected === "string") assert.is(rows[1]![1], expected.toWellFormed());
      else assert.is(Number(rows[1]![1]), expected);
      good++;
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error;
      assert.match(error.details.where ?? "", /^a\.jsonl:2/);
      assert.ok(expected === undefined || typeof expected === "object", line);
    }
  }
  assert.ok(good > rounds / 30, `${good} well-formed lines`);
}

/** Lines and first lines of what was left out. */
async function leftOut(name: string, content: Content, chunkBytes = 1 << 16) {
  const { corpus, rows } = await read(name, content, { skipFaulty: true, chunkBytes });
  const faults = corpus.leftOut.rowErrors.map(({ message, details }) => [details.where, message.split("\n")[0]]);
  return { rows, count: corpus.leftOut.rows, faults };
}

test("invalid rows can be skipped, and are reported by line", async () => {
  const csv = 'label,text\nham,one\nspam\nspam,"two\nlines"\n ,three\nspam,four,five\nham,six\n';
  const jsonl = [
    '{"label":"ham","text":"one"}',
    '{"label":"ham","text":"broken}',
    '{"label":"spam"}',
    '{"label":"spam","text":null}',
    '{"text":"two","label":"spam"}',
  ].join("\n");
  for (const chunkBytes of [1, 7, 1 << 16]) {
    const inCsv = await leftOut("a.csv", csv, chunkBytes);
    assert.equal(inCsv.rows, inRows("ham", "one", "spam", "two\nlines", "ham", "six"));
    assert.equal(
      inCsv.faults,
      [3, 6, 7].map((line) => [
        `a.csv:${line}`,
        line === 6 ? "The row has no label" : "The row has the wrong number of fields",
      ]),
    );
    const inJson = await leftOut("a.jsonl", jsonl, chunkBytes);
    assert.equal(inJson.rows, inRows("ham", "one", "spam", "two"));
    assert.equal(inJson.faults, [
      ["a.jsonl:2:31", "The row is not a valid JSON object"],
      ["a.jsonl:3", 'The object has no "text"'],
      ["a.jsonl:4", '"text" has no text'],
    ]);
  }
});

test("an object without keys is an invalid row, wherever it is", async () => {
  const lines = ["{}", '{"label":"ham","text":"one"}', "{}", '{"label":"spam","text":"two"}'];
  for (const [name, content] of [
    ["a.jsonl", lines.join("\n")],
    ["a.json", `[${lines.join(",\n")}]`],
  ] as const) {
    await fails(name, content, `${name}:1`, "no-such-key", ['The object has no "text"']);
    const { rows, faults } = await leftOut(name, content);
    assert.equal(rows, inRows("ham", "one", "spam", "two"));
    assert.equal(faults.map(([where]) => where), [`${name}:1`, `${name}:3`]); // biome-ignore format: short
  }
  await fails("a.jsonl", "{}\n{}\n", "a.jsonl", "too-few-columns", ["nothing", 'objective "lm"']);
});

test("a path names a key of an object within; a key with a dot comes first", async () => {
  const lines = [
    '{"id": 1, "message": {"from": {"name": "x"}, "body": "one", "tags": ["a"]}, "meta": {"label": "ham"}}',
    '{"meta": {"label": "no", "label": "spam"}, "message": {"body": "t\\"wo", "none": {}}, "x": {"y": "}"}}',
  ];
  const options = { textColumn: "message.body", labelColumn: "meta.label" };
  const expected: Row[] = inRows("ham", "one", "spam", 't"wo');
  await check("a.jsonl", lines.join("\n"), expected, options);
  await check("a.json", `[${lines.join(",")}]`, expected, options);
  assert.equal(await csvRows("a.jsonl", lines.join("\n"), { ...options, textColumn: "message.body" }), expected);
  await fails(
    "a.jsonl",
    lines.join("\n"),
    "a.jsonl",
    "no-such-column",
    ['no column "message.bdy"', 'did you mean "message.body"?'],
    {
      textColumn: "message.bdy",
    },
  );
  await fails("a.jsonl", lines.join("\n"), "a.jsonl", "column-not-recognized", [
    "id, message.from.name, message.body, message.tags, meta.label",
  ]);
  await fails(
    "a.jsonl",
    `${lines[0]}\n{"message":{"body":{"x":1}},"meta":{"label":"a"}}`,
    "a.jsonl:2",
    "value-not-text",
    ['"message.body" has no text'],
    options,
  );
  // The two leaves of an object are columns as others are.
  assert.equal(
    await csvRows("a.jsonl", '{"a":{"x":"yes","y":"some words"}}\n{"a":{"x":"no","y":"more"}}'),
    inRows("yes", "some words", "no", "more"),
  );
  const dotted = '{"a.b":"plain","a":{"b":"nested"},"label":"x"}\n{"a":{"b":"other"},"a.b":"plain too","label":"y"}';
  // biome-ignore format: short
  assert.equal(await csvRows("a.jsonl", dotted, { textColumn: "a.b" }), [["x", "plain"], ["y", "plain too"]]);
  // Deep and wide objects are left as they are.
  const deep = `{"text":"one","label":"a","d":${'{"d":'.repeat(5000)}1${"}".repeat(5000)}}`;
  const wide = `{"w":{${Array.from({ length: 5000 }, (_, i) => `"k${i}":1`).join()}},"text":"two","label":"b"}`;
  // biome-ignore format: short
  assert.equal(await csvRows("a.jsonl", `${deep}\n${wide}`), [["a", "one"], ["b", "two"]]);
  // biome-ignore format: short
  assert.equal(await csvRows("a.jsonl", `${wide}\n${deep}`), [["b", "two"], ["a", "one"]]);
});

test("many skipped rows: all are counted, the first are reported; if no row is left, the first error is thrown", async () => {
  const bad = Array.from({ length: 250 }, () => "spam\n").join("");
  const { rows, count, faults } = await leftOut("a.csv", `label,text\nham,one\n${bad}spam,two\n`);
  assert.equal([rows.length, count, faults.length, faults[99]![0]], [2, 250, 100, "a.csv:102"]);
  await fails("a.csv", "label,text\nham\nspam\n", "a.csv:2", "wrong-field-count", [], { skipFaulty: true });
  // What breaks the reading of all that follows is an error as before.
  await fails("a.csv", 'label,text\nham,one\nham,"open\n', "a.csv:3", "unclosed-quote", [], { skipFaulty: true });
});

test("reading a file of 5 GB without a line end stops after the longest row", async () => {
  module ??= await DataModule.load();
  for (const name of ["a.csv", "a.tsv", "a.jsonl"]) {
    let asked = 0;
    const read = async (_: number, length: number) => {
      asked += length;
      return new Uint8Array(length);
    };
    const file = { name, size: 5e9, read, close: async () => {} };
    try {
      await new Corpus(module).read(file, {
        labelsAre: "class" as const,
        maxLength: 1024,
        chunkBytes: 1 << 18,
      });
      assert.unreachable();
    } catch (error) {
      assert.instance(error, LowrankError);
      assert.match((error as Error).message, /too long|not a JSON object/);
    }
    assert.ok(asked < 80 << 20, `${name}: ${asked} bytes read`);
  }
});

// A million in quadratic time take longer than the runner gives a file.
for (const [declare, columns] of [[test, 1000], [testAll, 1_000_000]] as const) // biome-ignore format: short
  declare(`${columns} columns are read, or refused, like two`, async () => {
    const names = Array.from({ length: columns }, (_, i) => `c${i}`).join(",");
    await fails("a.csv", `${names}\n1,2\n`, "a.csv", "column-not-recognized", [`and ${columns - 12} more`]);
    const rest = ",".repeat(columns);
    const rows = await csvRows("a.csv", ["label,text", "a,b", "c,d"].join(`${rest}\n`) + rest);
    assert.equal(rows.flat(), ["a", "b", "c", "d"]);
  });
