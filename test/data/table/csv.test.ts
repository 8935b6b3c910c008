/** Files to rows: CSV, TSV and JSON lines, whole and in pieces, good and malformed; all of UTF-8. */

import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { LowrankError } from "../../../src/core/errors.ts";
import { joinPair } from "../../../src/core/pair.ts";
import { Rng } from "../../../src/core/rng.ts";
import { Corpus, type ReadOptions } from "../../../src/data/corpus.ts";
import { DataModule } from "../../../src/data/wasm.ts";
import type { TableOptions } from "../../../src/infer/table/open-table.ts";
import { CLASS } from "../../../src/labels/class.ts";
import { assertFails } from "../../helpers/border.ts";
import { test, testAll } from "../../helpers/harness.ts";
import { testRounds } from "../../helpers/rounds.ts";
import { slowCsv } from "../../helpers/slow-csv.ts";
import { readToLabel } from "../../helpers/tables.ts";
import { fileOf, jsonLines } from "../../helpers/tiny.ts";

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
  const rows = await corpus.read(fileOf(name, content), {
    labelsAre: CLASS,
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

/** What must fail: a file, its content, the place that is told, the code, and words of the message. */
type Fault = [name: string, content: Content, where: string, code: ErrorCode, words?: string[]];

const [WIDTH, JSON_ROW, ARRAY] = ["wrong-field-count", "row-not-json-object", "invalid-json-array"] as const;
/** What a table to label is refused for as well, at the same place. */
const OF_TABLES: ErrorCode[] = [
  ...([WIDTH, "unclosed-quote", "text-after-quote", JSON_ROW, ARRAY, "unclosed-json-array", "no-rows"] as const),
  ...(["not-utf8", "invalid-text-encoding", "unknown-data-format"] as const),
];

const labelled = new Set<string>();
const inPieces = new Set<Content>();

async function fails(options: Partial<ReadOptions>, faults: readonly Fault[]) {
  for (const [name, content, where, code, words = []] of faults) {
    const message = await assertFails(code, words, () => read(name, content, options));
    assert.match(`${message}\n`, `\n  where:    ${where}\n`);
    // One of a kind: it is the same reader.
    const kind = `${name} ${code}`;
    if (!OF_TABLES.includes(code) || labelled.has(kind)) continue;
    labelled.add(kind);
    const labelling = await assertFails(code, () => readToLabel(fileOf(name, content), options as TableOptions));
    assert.match(`${labelling}\n`, `\n  where:    ${where}\n`);
  }
}

/** Checks the rows, that every chunk size from one byte on gives the same, and that a table to label has their texts. */
async function check(name: string, content: Content, expected: Row[], options: Partial<ReadOptions> = {}) {
  const { length } = asBytes(content);
  assert.equal(await csvRows(name, content, options), expected, JSON.stringify(content));
  // The same content by another name is read in pieces once.
  for (let chunkBytes = 1; chunkBytes <= length && !inPieces.has(content); chunkBytes++) {
    assert.equal(await csvRows(name, content, { ...options, chunkBytes }), expected, `${chunkBytes} bytes a chunk`);
  }
  inPieces.add(content);
  const { encoding, textColumn } = options;
  const chunkBytes = [1, 2, 3, 5, 64, 1 << 16][length % 6]!;
  const found = await readToLabel(fileOf(name, content), { encoding, textColumn, chunkBytes });
  const texts = expected.flatMap(([, text]) => text || []);
  assert.equal(found.texts.filter((text) => text !== ""), texts, JSON.stringify(content)); // biome-ignore format: short
  if (typeof content === "string") assert.is(found.bytes, content);
}

const TWO = inRows("ham", "one", "spam", "two");
const MARKED = inRows("ham", "one", "spam", "\uFEFFtwo");
const TEXTS = inRows("ham", "one, two; three\tfour", "spam", 'a "b"', "ham", "two\nlines");
const separated = (separator: string, header = `label${separator}text\n`) =>
  header + TEXTS.map(([label, text]) => `${label}${separator}"${text.replaceAll('"', '""')}"\n`).join("");
const COMMAS = inRows("x", "Hello, you", "x", "Win, now", "x", "no");
const commas = (separator: string) => "label|text\nx|Hello, you\nx|Win, now\nx|no\n".replaceAll("|", separator);
const OBJECTS = [
  { label: "ham", text: 'a "b" [c] {d}\n\\' },
  { id: { deep: [1, "]}"] }, label: "spam", text: "é 😀" },
  { label: 1, text: "" },
];
const OF_OBJECTS = OBJECTS.map(({ label, text }): Row => [String(label), text]);
const VALUES = [
  '{"text":"a\\"b\\\\c\\/d\\b\\f\\n\\r\\t","label":1}',
  '  { "label" : 0 , "text" : "\\u00e9\\u20AC \\ud83d\\ude00" , "meta" : {"a":[1,"]}",{}],"b":null} } ',
  '\n{"text":"lone \\ud83d and \\ude00\\ud83d\\u0041","label":1}',
  '{"text":true,"label":0,"text":-1.5e+3}\n{"text":"","label":1,"x":null,"y":false}',
].join("\n");
const OF_VALUES = [
  ...inRows("1", 'a"b\\c/d\b\f\n\r\t', "0", "é€ 😀", "1", "lone \uFFFD and \uFFFD\uFFFDA"),
  ...inRows("0", "-1.5e+3", "1", ""),
];
const TSV = 'h|t\nham|"a ""b"" c"\r\nx|"lonely quote\nham|"one" and "two"\nx|a, "b"\nham|"a|b"\nx|"\nham|""\nx|"""';
const OF_TSV = [
  ...inRows("ham", 'a "b" c', "x", '"lonely quote', "ham", '"one" and "two"', "x", 'a, "b"'),
  ...inRows("ham", "a\tb", "x", '"', "ham", "", "x", '"""'),
];
const PATHS = { textColumn: "message.body", labelColumn: "meta.label" };
const NESTED = [
  '{"id": 1, "message": {"from": {"name": "x"}, "body": "one", "tags": ["a"]}, "meta": {"label": "ham"}}',
  '{"meta": {"label": "no", "label": "spam"}, "message": {"body": "t\\"wo", "none": {}}, "x": {"y": "}"}}',
];
const OF_NESTED = inRows("ham", "one", "spam", 't"wo');
const DOTTED = '{"a.b":"plain","a":{"b":"nested"},"label":"x"}\n{"a":{"b":"other"},"a.b":"plain too","label":"y"}';

test("files are read as they are meant, whatever is read at a time", async () => {
  for (const [name, content, rows, options] of [
    // Line ends: LF, CRLF, CR, none at the end; blank lines are skipped.
    ...["\n", "\r\n", "\r"].flatMap((end): [string, string, Row[]][] => [
      ["a.csv", ["label,text", "", "ham,one", "", "", "spam,two"].join(end), TWO],
      ["a.csv", `${end}label,text${end}"ham","one"${end}"spam","two"${end}`, TWO],
    ]),
    // A spreadsheet's rows of nothing but separators and white space are skipped, also before the header.
    ["a.csv", ',\n , \nlabel,text\nham,one\n,\n"",""\n,,,\nspam,two\n" ",\n', TWO],
    ["a.csv", ";\r\nlabel;text\r\n;\r\nham;one\r\nspam;two\r\n;\r\n;", TWO],
    ["a.tsv", "\t\nlabel\ttext\nham\tone\n\t\n  \nspam\ttwo\n\t", TWO],
    ["a.csv", "ham,one\n,\nspam,two\nham,three\n", [...TWO, ["ham", "three"]]],
    // A byte order mark is dropped, and only at the file's start.
    ["a.csv", "\uFEFFlabel,text\nham,one\nspam,\uFEFFtwo\n", MARKED],
    ["a.tsv", "\uFEFFlabel\ttext\nham\tone\nspam\t\uFEFFtwo\n", MARKED],
    ["a.jsonl", '\uFEFF{"label":"ham","text":"one"}\n{"label":"spam","text":"\uFEFFtwo"}\n', MARKED],
    // A field of TSV is unquoted only where its closing quote ends it within the line.
    ["a.tsv", TSV.replaceAll("|", "\t"), OF_TSV, { textColumn: "t", labelColumn: "h" }],
    // The separator is found by the rows' widths, within quotes none; commas in texts, in as many rows or fewer.
    ...[",", ";", "\t"].map((separator) => ["a.csv", separated(separator), TEXTS] as const),
    ...["a.txt", "a.tsv"].map((name) => [name, separated(";"), TEXTS] as const),
    ["a.tsv", separated(","), TEXTS],
    ["a.csv", separated(";", ""), TEXTS],
    ...["a.csv", "a.txt", "a"].flatMap((name) =>
      [";", "\t"].map((separator) => [name, commas(separator), COMMAS] as const),
    ),
    // JSON: escapes, surrogates, numbers, booleans, nested values aside; arrays on one line or many, and lines.
    ["a.jsonl", VALUES, OF_VALUES],
    ["a.json", JSON.stringify(OBJECTS), OF_OBJECTS],
    ["a.jsonl", JSON.stringify(OBJECTS), OF_OBJECTS],
    ["a.json", `\uFEFF \n${JSON.stringify(OBJECTS, null, 2)}\n`, OF_OBJECTS],
    ["a.json", jsonLines(OBJECTS), OF_OBJECTS],
    // A path names a key of an object within; a key with a dot comes first; the leaves of an object are columns.
    ["a.jsonl", NESTED.join("\n"), OF_NESTED, PATHS],
    ["a.json", `[${NESTED.join(",")}]`, OF_NESTED, PATHS],
    ["a.jsonl", DOTTED, inRows("x", "plain", "y", "plain too"), { textColumn: "a.b" }],
    ["a.jsonl", '{"a":{"x":"yes","y":"some words"}}\n{"a":{"x":"no","y":"b"}}', inRows("yes", "some words", "no", "b")],
  ] as [string, string, Row[], Partial<ReadOptions>?][])
    await check(name, content, rows, options);
});

test("the start of a byte order mark without its end is text", async () => {
  const content = new Uint8Array([0xef, 0xbb, ...asBytes("x,text\na,één\nb,two\n")]);
  await check("a.csv", content, inRows("a", "één", "b", "two"), { labelColumn: "\uFFFDx" });
});

test("deep and wide objects are left as they are", async () => {
  const deep = `{"text":"one","label":"a","d":${'{"d":'.repeat(5000)}1${"}".repeat(5000)}}`;
  const wide = `{"w":{${Array.from({ length: 5000 }, (_, i) => `"k${i}":1`).join()}},"text":"two","label":"b"}`;
  assert.equal(await csvRows("a.jsonl", `${deep}\n${wide}`), inRows("a", "one", "b", "two"));
  assert.equal(await csvRows("a.jsonl", `${wide}\n${deep}`), inRows("b", "two", "a", "one"));
});

test("labels: white space around them is dropped, integers keep their order, names are sorted", async () => {
  const numbers = Array.from({ length: 300 }, (_, i) => String(i));
  const many = Array.from({ length: 5000 }, (_, i) => `class ${(i * 1237) % 5000}`);
  // biome-ignore format: a row each
  for (const [labels, expected] of [
    [" spam|ham |spam".split("|"), ["ham", "spam"]],
    [[..."bBaé", "ab"], ["B", "a", "ab", "b", "é"]],
    [numbers.map((_, i) => String((i * 7) % 300)), numbers],
    [[..."12", "10"], ["1", "10", "2"]],
    [["00", "1"], ["00", "1"]],
    [many, [...many].sort()],
  ] as const) {
    const { corpus, rows } = await read("a.csv", `label,text\n${labels.map((l) => `${l},of ${l.trim()}`).join("\n")}`);
    assert.equal(corpus.labels, expected);
    assert.ok(rows.every(([label, text]) => text === `of ${label}`));
  }
});

test("a file in another encoding is refused before anything else, with the likely encoding", async () => {
  const long = `a,${"x".repeat(200)}é${"y".repeat(200)}`;
  // Rows of other widths, and no column of texts: faults that would be found later.
  const latin = Buffer.from(`x,y,z\na,b\na,caf\xe9\x07\x9d\n${long}\n\xfcber,1,2\n\xe4\n`, "latin1");
  const likely = ["This file is not UTF-8, but likely windows-1252", 'encoding "windows-1252"'];
  for (const skipFaulty of [false, true])
    await fails({ skipFaulty }, [["a.csv", latin, "a.csv:3", "not-utf8", likely]]);
  const wide = (letter: string) => `label,text\na,${letter.repeat(200_000)}\nb,${"ß".repeat(300_000)}x\n`;
  await fails({}, [
    ["a.csv", Buffer.from("label,text\n\na,é\nb,x\n", "utf16le"), "a.csv:1", "not-utf8", ["utf-16le"]],
    ["a.csv", Buffer.from("label,text\n\na,é\nb,x\n", "utf16le").swap16(), "a.csv:1", "not-utf8", ["utf-16be"]],
    ["a.csv", Buffer.from(wide("e"), "latin1"), "a.csv:3", "not-utf8"],
  ]);
  for (const [start, what] of [
    ["a,b\xe9\x00\x00\xe9\x00,\x00", "is not text"],
    ["PK\x03\x04\x00 xl/", "This is an Excel file"],
    ["PK\x03\x04\x00 word/", "This is a Word file"],
    ["PK\x03\x04\x00", "This is a zip file"],
    ["\xd0\xcf\x11\xe0", "This is an Office file of before 2007"],
    ["%PDF-1.7", "This is a PDF file"],
    ["\x89PNG", "This is a picture"],
  ] as const)
    assert.match(String(await read("a.csv", Buffer.from(start, "latin1")).catch(String)), what);
  // Lines longer than what is checked at a time, with characters across every border.
  assert.is((await csvRows("a.csv", wide("€"))).length, 2);
});

test("Windows-1252, other encodings by their names, and UTF-16 by its mark, in pieces of every size", async () => {
  const high = Uint8Array.from({ length: 128 }, (_, i) => 128 + i);
  const content = new Uint8Array([...asBytes("label,text\na,"), ...high, ...asBytes("\nb,x\n")]);
  // What Node makes of it depends on its version.
  const first = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";
  const rest = Array.from({ length: 96 }, (_, i) => String.fromCharCode(160 + i)).join("");
  for (const encoding of ["windows-1252", "latin1"])
    await check("a.csv", content, inRows("a", first + rest, "b", "x"), { encoding });
  const cyrillic = Uint8Array.of(...asBytes("label,text\na,"), 0xcf, 0xf0, ...asBytes("\nb,x\n"));
  await check("a.csv", cyrillic, inRows("a", "Пр", "b", "x"), { encoding: "windows-1251" });

  const little = Buffer.from('\uFEFFlabel\ttext\nham\tnaïve 😀\nspam\t"最, ""後"""\n', "utf16le");
  const expected = inRows("ham", "naïve 😀", "spam", '最, "後"');
  for (const bytes of [little, Buffer.from(little).swap16()]) {
    await check("a.txt", bytes, expected);
    await check("a.csv", bytes, expected, { encoding: "windows-1252" });
    const where = `a.txt, bytes 0 to ${bytes.length - 1}`;
    const words = ["not valid UTF-16", "cut off"];
    await fails({}, [["a.txt", bytes.subarray(0, -1), where, "invalid-text-encoding", words]]);
  }
});

const good = '{"text":"a","label":"b"}';
const cut = ["ends in this row", "cut off"];

const BAD_LINES = [
  ...'[1]|{|{"text"}|{"text":"a"|{"text":"a",}|{"text":01}|{"text":1.}|{"text":tru}'.split("|"),
  ...'{"text":"\\x"}|{"text":"\\u12g4"}|{"text":"a"} x|{"text":{"a":[}'.split("|"),
];
/** The first byte of each that is invalid, from 1. */
const BYTES = [1, 2, 8, 12, 13, 10, 11, 12, 11, 12, 14, 16];

test("errors name the line and the byte, and a file that is cut", async () => {
  const lines: Fault[] = [
    ["a.csv", "label,text\nham,one\n\nham,a,b\n", "a.csv:4", WIDTH, ["expected: 2 fields", "found:    3"]],
    ["a.csv", "label;text\nham;one\nham;a;b\nspam;c\n", "a.csv:3", WIDTH, ["expected: 2 fields", "found:    3"]],
    ["a.csv", 'label,text\nham,"one\ntwo\nthree"\nham\n', "a.csv:5", WIDTH, ["found:    1"]],
    ["a.csv", 'label,text\r\nham,"one\r\ntwo"\r\nham\r\n', "a.csv:4", WIDTH, ["found:    1"]],
    ["a.csv", 'label,text\nham,one\nham,"x\n\nspam,two\n', "a.csv:3", "unclosed-quote", ["opened on line 3"]],
    ["a.csv", 'label,text\n"ham\n","x\n\nspam,two\n', "a.csv:2", "unclosed-quote", ["opened on line 3"]],
    ["a.csv", 'label,text\nham,"one"x\n', "a.csv:2", "text-after-quote", ["after field 2", 'found:    "x"']],
    ["a.tsv", "label\ttext\nham\tone\nham two\n", "a.tsv:3", WIDTH, ["found:    1"]],
    ["a.csv", "label,text,id\nham,one,1\nspam,tw", "a.csv:3", WIDTH, cut],
    ["a.tsv", "label\ttext\tid\nham\tone\t1\nspam\ttw", "a.tsv:3", WIDTH, cut],
    ["a.csv", 'label,text\nham,one\nspam,"tw', "a.csv:3", "unclosed-quote", ["cut off"]],
    ["a.csv", "label,text,id\nham,one\nspam,two,3", "a.csv:2", WIDTH, ["quote fields"]],
    ["a.jsonl", '{"label":"a","text":"b"}\n{"label":"a","te', "a.jsonl:2:17", JSON_ROW, cut],
    ["a.jsonl", `${good}\n\n{"text":"a"}\n`, "a.jsonl:3", "no-such-key", ['no "label"']],
    ["a.jsonl", `${good}\n{"label":"a"}\n`, "a.jsonl:2", "no-such-key", ['no "text"']],
    ["a.jsonl", `${good}\n{"text":"x","label":[1]}`, "a.jsonl:2", "value-not-text", ['"label" has no text']],
    ["a.jsonl", "{}\n{}\n", "a.jsonl", "too-few-columns", ["nothing", 'objective "lm"']],
    ["a.jsonl", `{}\n${good}\n`, "a.jsonl:1", "no-such-key", ['The object has no "text"']],
    ...BAD_LINES.map((line, i): Fault => {
      return ["a.jsonl", `${good}\n${line}\n${good}`, `a.jsonl:2:${BYTES[i]}`, JSON_ROW];
    }),
  ];
  await fails({}, lines);
  const arrays: Fault[] = [
    ["a.json", `[{},\n${good}]`, "a.json:1", "no-such-key", ['The object has no "text"']],
    ["a.json", `[${good},{"text":x}]`, "a.json:1:35", JSON_ROW, ['found:    "x"']],
    ["a.json", `[\n ${good},\n {"text":\n  x}]`, "a.json:4:3", JSON_ROW, ['found:    "x"']],
    ["a.json", `[${good}\n,{"text":"a"}]`, "a.json:2", "no-such-key", ['no "label"']],
    ["a.json", `[${good} ${good}]`, "a.json:1:27", ARRAY, ["commas"]],
    ["a.json", `[${good},]`, "a.json:1:27", ARRAY, ['found:    "]"']],
    ["a.json", `[${good},1]`, "a.json:1:27", ARRAY, ['found:    "1"']],
    ["a.json", `[${good}]\n]`, "a.json:2:1", ARRAY],
    ["a.json", `[${good},\n{"text":"a`, "a.json:2", "unclosed-json-array", ["cut off"]],
    ["a.json", `[${good},\n`, "a.json:2", "unclosed-json-array", ["cut off"]],
    ["a.json", "[]", "a.json", "no-rows"],
    ["a.json", "[", "a.json:1", "unclosed-json-array"],
  ];
  for (const chunkBytes of [1, 5, 1 << 16]) await fails({ chunkBytes }, arrays);
});

test("errors of the whole file: empty, only a header, missing columns", async () => {
  await fails({}, [
    ["a.csv", "", "a.csv", "no-rows"],
    ["a.csv", "\n\n", "a.csv", "no-rows"],
    ["a.jsonl", "", "a.jsonl", "no-rows"],
    ["a.csv", "label:text\nham:one\n", "a.csv", "too-few-columns", ["label:text", "semicolons"]],
    ["a.dat", "label,text\n", "a.dat", "unknown-data-format", [".jsonl"]],
    [
      "a.jsonl",
      NESTED.join("\n"),
      "a.jsonl",
      "column-not-recognized",
      ["id, message.from.name, message.body, message.tags, meta.label"],
    ],
  ]);
  const body = ['no column "message.bdy"', 'did you mean "message.body"?'];
  await fails({ textColumn: "message.bdy" }, [["a.jsonl", NESTED.join("\n"), "a.jsonl", "no-such-column", body]]);
  const object = `${NESTED[0]}\n{"message":{"body":{"x":1}},"meta":{"label":"a"}}`;
  await fails(PATHS, [["a.jsonl", object, "a.jsonl:2", "value-not-text", ['"message.body" has no text']]]);
});

test("a row that would fill memory is refused", () => {
  const long = new Uint8Array((16 << 20) + 100).fill(0x61);
  long.set(asBytes('label,text\nham,"'));
  return fails({}, [
    ["a.csv", long, "a.csv:2", "exceeds-limit", ["too long", "16 MiB"]],
    ["a.csv", new Uint8Array(5 << 20).fill(0x2c), "a.csv:1", "exceeds-limit", ["too long"]],
  ]);
});

testAll("a row of doubled quotes that would fill memory is refused", () =>
  fails({}, [["a.csv", new Uint8Array(33 << 20).fill(0x22), "a.csv:1", "exceeds-limit", ["too long"]]]),
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
    const expected = slowJsonLine(line);
    const options = { skipFaulty: true, chunkBytes: 1 + rng.below(8) };
    const { rows, corpus } = await read("a.jsonl", `{"label":"x","text":"first"}\n${line}\n`, options);
    assert.equal(rows, [["x", "first"], ...(expected ? [repaired(expected)] : [])], line);
    for (const { details } of corpus.leftOut.rowErrors) assert.match(details.where!, /^a\.jsonl:2/);
    good += rows.length - 1;
  }
  assert.ok(good > rounds / 30, `${good} well-formed lines`);
}

/** Lines of JSON by JSON.parse; numbers and booleans as they are written. */
function slowJsonLine(line: string): Row | null {
  try {
    // Control characters are text to the reader.
    const { label, text } = JSON.parse(line) as { label?: unknown; text?: unknown };
    const isText = (value: unknown) => ["string", "number", "boolean"].includes(typeof value);
    const written = (value: unknown, key: string) =>
      typeof value === "string" ? value : new RegExp(`"${key}"\\s*:\\s*([^\\s,}]+)`).exec(line)![1]!;
    if (!isText(label) || !isText(text)) return null;
    return [written(label, "label"), written(text, "text")];
  } catch {
    return null;
  }
}

/** Lone surrogates, of which a file knows nothing. */
const repaired = (row: readonly string[]) => row.map((text) => text.toWellFormed());

test("every prefix of a line of JSON is read as JSON.parse does, also where the whole line is still in memory", async () => {
  const lines = [
    '{"label": "b", "text": "x\\u00e9\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t é😀"}',
    '{"text": -12.50e+10, "label": true, "more": [1, {"a": "]}"}, null]} ',
    '{"label": false, "none": null, "text": "\\ud83d"}',
    '{ "label" : 0 , "text" : 0.5 , "o" : { "s" : "\\"}" } }',
    '{"text":"","label":1e5,"n":{}}',
  ];
  const first = ['{"label": "a", "text": "first"}', '{"label": "b", "text": "second"}'];
  const known = inRows("a", "first", "b", "second");
  for (const line of lines)
    for (let length = 0; length <= line.length; length++) {
      const prefix = line.slice(0, length);
      // What comes behind in the reader's memory is the rest of the line: to read it would make the prefix whole.
      const expected = [slowJsonLine(line)!, slowJsonLine(prefix)].filter((row) => row !== null);
      for (const end of ["", "\n"]) {
        const content = `${first.join("\n")}\n${line}\n${prefix}${end}`;
        assert.equal(
          await csvRows("a.jsonl", content, { skipFaulty: true }),
          [...known, ...expected].map(repaired),
          prefix,
        );
      }
    }
});

test("an escape that the end of a line cuts is found at its first digit, whatever lies behind it in memory", async () => {
  const whole = '{"label": "a", "text": "\\u00e9\\ud83d\\ude00"}';
  for (const cut of ["\\u00e9", "\\ud83d", "\\ude00"]) {
    const digits = whole.indexOf(cut) + 2;
    for (let length = digits; length < digits + 4; length++) {
      const content = `${whole}\n${whole.slice(0, length)}`;
      await assertFails("row-not-json-object", [`a.jsonl:2:${digits + 1}\n`], () => read("a.jsonl", content));
    }
  }
});

/** Of a set of bytes some in `npm test`, and all in test:all. */
const SIZES = [[test, "some bytes", false], [testAll, "every byte", true]] as const; // biome-ignore format: short

/** Leads with every byte behind them, or some, and with bytes on both sides of what may follow. */
function sequences(isWhole: boolean): Uint8Array[] {
  const tails = [[], [0x80], [0x80, 0x80]];
  const edges = [0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
  const otherTails = [[0x7f], [0xbf], [0xc0], [0x80, 0x7f], [0x80, 0xbf], [0x80, 0xc0], [0xbf, 0xbf]];
  const rows: Uint8Array[] = [];
  for (let lead = 0x80; lead < 0x100; lead++) {
    // At the end of the text, too.
    rows.push(Uint8Array.of(0x78, lead), Uint8Array.of(0x78, lead, 0x80), Uint8Array.of(0x78, lead, 0xbf, 0xbf));
    for (const tail of tails)
      for (let second = 0; second < 0x100; second++)
        if (![9, 10, 13].includes(second) && (isWhole || second % 16 === 15))
          rows.push(Uint8Array.of(0x78, lead, second, ...tail));
    for (const tail of otherTails) for (const second of edges) rows.push(Uint8Array.of(0x78, lead, second, ...tail));
  }
  return rows;
}

for (const [declare, name, isWhole] of SIZES)
  declare(`every lead byte with ${name} behind it is valid where TextDecoder accepts it`, async () => {
    const all = sequences(isWhole);
    const parts = [
      asBytes("label\ttext\n"),
      ...all.flatMap((row, i) => [asBytes(`ääää${i % 2}\t`), row, asBytes("\n")]),
    ];
    const bytes = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const { rows, corpus } = await read("all.tsv", bytes, { skipFaulty: true });
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const valid = all.flatMap((row) => {
      try {
        return [strict.decode(row)];
      } catch {
        return [];
      }
    });
    assert.is(rows.length, valid.length);
    for (const [i, text] of valid.entries()) assert.ok(rows[i]![1] === text, `${i}: ${rows[i]![1]}`);
    assert.is(corpus.leftOut.rows, all.length - valid.length);
  });

test("invalid rows can be skipped, and are reported by line", async () => {
  const csv = 'label,text\nham,one\nspam\nspam,"two\nlines"\n ,three\nspam,four,five\nham,six\n';
  const lines = ["{}", '{"label":"ham","text":"one"}', '{"label":"ham","text":"broken}', '{"label":"spam"}'];
  const more = ['{"label":"spam","text":null}', '{"text":"two","label":"spam"}'];
  const array = `[${good},\n{"text":x},\n{"text":null,"label":"b"},{},{"label":"c","text":"d"}]`;
  const read3 = inRows("ham", "one", "spam", "two\nlines", "ham", "six");
  for (const [name, content, expected, ...faults] of [
    ["a.csv", csv, read3, `3 ${WIDTH}`, "6 row-without-label", `7 ${WIDTH}`],
    [
      "a.jsonl",
      [...lines, ...more].join("\n"),
      TWO,
      "1 no-such-key",
      `3:31 ${JSON_ROW}`,
      "4 no-such-key",
      "5 value-not-text",
    ],
    ["a.json", array, inRows("b", "a", "c", "d"), `2:9 ${JSON_ROW}`, "3 value-not-text", "3 no-such-key"],
  ] as [string, string, Row[], ...string[]][])
    for (const chunkBytes of [1, 7, 1 << 16]) {
      const { corpus, rows } = await read(name, content, { skipFaulty: true, chunkBytes });
      const found = corpus.leftOut.rowErrors.map(({ code, details }) => `${details.where} ${code}`);
      assert.equal([rows, found], [expected, faults.map((fault) => `${name}:${fault}`)]);
    }
});

test("many skipped rows: all are counted, the first are reported; if no row is left, the first error is thrown", async () => {
  const skipFaulty = true;
  const { rows, corpus } = await read("a.csv", `label,text\nham,one\n${"spam\n".repeat(250)}spam,two\n`, {
    skipFaulty,
  });
  const { rows: count, rowErrors } = corpus.leftOut;
  assert.equal([rows.length, count, rowErrors.length, rowErrors[99]!.details.where], [2, 250, 100, "a.csv:102"]);
  await fails({ skipFaulty }, [
    ["a.csv", "label,text\nham\nspam\n", "a.csv:2", WIDTH],
    // What breaks the reading of all that follows is an error as before.
    ["a.csv", 'label,text\nham,one\nham,"open\n', "a.csv:3", "unclosed-quote"],
  ]);
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
    const options = { labelsAre: CLASS, maxLength: 1024, chunkBytes: 1 << 18 };
    const error = await new Corpus(module).read(file, options).catch((thrown) => thrown);
    assert.instance(error, LowrankError);
    assert.match(error.message, /too long|not a JSON object/);
    assert.ok(asked < 80 << 20, `${name}: ${asked} bytes read`);
  }
});

// A million in quadratic time take longer than the runner gives a file.
for (const [declare, columns] of [[test, 1000], [testAll, 1_000_000]] as const) // biome-ignore format: short
  declare(`${columns} columns are read, or refused, like two`, async () => {
    const names = Array.from({ length: columns }, (_, i) => `c${i}`).join(",");
    await fails({}, [["a.csv", `${names}\n1,2\n`, "a.csv", "column-not-recognized", [`and ${columns - 12} more`]]]);
    const rest = ",".repeat(columns);
    const rows = await csvRows("a.csv", ["label,text", "a,b", "c,d"].join(`${rest}\n`) + rest);
    assert.equal(rows.flat(), ["a", "b", "c", "d"]);
  });
