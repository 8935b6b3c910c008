/** Where the space is small, all of it: every kind of valid and invalid UTF-8, every prefix of a file. */

import * as assert from "uvu/assert";
import { bytesReader, Corpus } from "../../src/data/corpus.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { LowrankError } from "../../src/errors.ts";
import { joinPair } from "../../src/pair.ts";
import { assertFails } from "../helpers/border.ts";
import { test, testAll } from "../helpers/harness.ts";

const utf8 = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

let module: DataModule | undefined;

/** Label and text of every row, and how many invalid rows were skipped. */
async function read(name: string, bytes: Uint8Array, skipFaulty = false) {
  module ??= await DataModule.load();
  const corpus = new Corpus(module);
  const rows = await corpus.read(bytesReader(name, bytes), {
    labelsAre: "class" as const,
    maxLength: 1024,
    chunkBytes: 1 << 16,
    skipFaulty,
  });
  const { labels } = corpus.table(rows, 0);
  const found = Array.from(rows, (row, i) => [corpus.labels[labels[i]!]!, joinPair(corpus.text(row))]);
  return { rows: found, invalid: corpus.leftOut.rows };
}

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
      utf8.encode("label\ttext\n"),
      ...all.flatMap((row, i) => [utf8.encode(`ääää${i % 2}\t`), row, utf8.encode("\n")]),
    ];
    const bytes = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    const { rows, invalid } = await read("all.tsv", bytes, true);
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
    assert.is(invalid, all.length - valid.length);
  });

/** What is read of a file, or the error's words. */
async function outcome(name: string, content: string): Promise<string[][] | string> {
  try {
    return (await read(name, utf8.encode(content), true)).rows;
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error;
    return error.message;
  }
}

/** Lines of JSON by JSON.parse; numbers and booleans as they are written. */
function slowJsonLine(line: string): string[] | null {
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

test("every prefix of a line of JSON is read as JSON.parse does, also where the whole line is still in memory", async () => {
  const lines = [
    '{"label": "b", "text": "x\\u00e9\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t é😀"}',
    '{"text": -12.50e+10, "label": true, "more": [1, {"a": "]}"}, null]} ',
    '{"label": false, "none": null, "text": "\\ud83d"}',
    '{ "label" : 0 , "text" : 0.5 , "o" : { "s" : "\\"}" } }',
    '{"text":"","label":1e5,"n":{}}',
  ];
  const first = ['{"label": "a", "text": "first"}', '{"label": "b", "text": "second"}'];
  const known = [
    ["a", "first"],
    ["b", "second"],
  ];
  for (const line of lines)
    for (let length = 0; length <= line.length; length++) {
      const prefix = line.slice(0, length);
      // What comes behind in the reader's memory is the rest of the line: to read it would make the prefix whole.
      const expected = [slowJsonLine(line)!, slowJsonLine(prefix)].filter((row) => row !== null);
      for (const end of ["", "\n"]) {
        const rows = await outcome("a.jsonl", `${first.join("\n")}\n${line}\n${prefix}${end}`);
        assert.equal(rows, [...known, ...expected].map(repaired), prefix);
      }
    }
});

test("an escape that the end of a line cuts is found at its first digit, whatever lies behind it in memory", async () => {
  const whole = '{"label": "a", "text": "\\u00e9\\ud83d\\ude00"}';
  for (const cut of ["\\u00e9", "\\ud83d", "\\ude00"]) {
    const digits = whole.indexOf(cut) + 2;
    for (let length = digits; length < digits + 4; length++) {
      const content = utf8.encode(`${whole}\n${whole.slice(0, length)}`);
      await assertFails("row-not-json-object", [`a.jsonl:2:${digits + 1}\n`], () => read("a.jsonl", content));
    }
  }
});

/** Lone surrogates, of which a file knows nothing. */
const repaired = (row: string[]) => row.map((text) => decoder.decode(utf8.encode(text)));
