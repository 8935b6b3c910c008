/** The tokenizer against the definition of GPT-2's encoding. LOWRANK_FUZZ is the number of random texts. */
import * as assert from "uvu/assert";
import { packagePath, readBytes } from "#platform";
import { DataError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { ReferenceTokenizer } from "../helpers/bpe-reference.ts";
import { test, testAll } from "../helpers/harness.ts";
import { randomText } from "../helpers/random-text.ts";
import { testRounds } from "../helpers/rounds.ts";
import { assertIds } from "../helpers/vocabulary.ts";

let tokenizer: Tokenizer;
let reference: ReferenceTokenizer;
const utf8 = new TextEncoder();

/** The ids of a text by `encode`, which must be those by the definition and decode to the text. */
function checkAgainstReference(text: string): void {
  const ids = tokenizer.encode(text);
  assertIds(ids, reference.encode(text), text);
  assert.is(tokenizer.decode(ids), text.toWellFormed());
}

const loading = Promise.all([Tokenizer.load(), ReferenceTokenizer.load()]).then((both) => {
  [tokenizer, reference] = both;
});
const load = async () => {
  await loading;
  assert.is(tokenizer.vocabSize, 50257);
};
test("loads from the built tables", load);
testAll("loads", load);

test("a tokenizer loads the module without readers of data, or uses the one that data was read with", async () => {
  const hasReaders = async () => "feed" in (await DataModule.load(undefined, "tokenizer.wasm")).exports;
  assert.not.ok(await hasReaders());
  assert.ok("feed" in (await DataModule.load()).exports);
  assert.ok(await hasReaders());
});

test("the golden texts have tiktoken's ids, from strings and from bytes, and come back", async () => {
  const lines = new TextDecoder().decode(await readBytes(packagePath("test/golden/tokenizer/cases.jsonl"))).trim();
  const cases: { text: string; ids: number[] }[] = lines.split("\n").map((line) => JSON.parse(line));
  assert.is(cases.length, 456);
  for (const { text, ids } of cases) {
    assertIds(tokenizer.encode(text), ids, text);
    assertIds(tokenizer.encodeBytes(utf8.encode(text)), ids, text);
    assertIds(reference.encode(text), ids, text);
    assert.is(tokenizer.decode(ids), text);
    assert.equal(tokenizer.decodeBytes(ids), utf8.encode(text));
  }
});

test("every id decodes to its token's bytes", () => {
  assert.is(tokenizer.decode([50256]), "<|endoftext|>");
  const ids = Uint32Array.from({ length: 50256 }, (_, id) => id);
  const bytes = tokenizer.decodeBytes(ids);
  let at = 0;
  for (const id of ids) {
    const expected = reference.bytes(id);
    const actual = tokenizer.decodeBytes([id]);
    if (Buffer.compare(actual, expected) !== 0) assert.equal(actual, expected, `id ${id}`);
    if (Buffer.compare(bytes.subarray(at, at + actual.length), expected) !== 0) assert.unreachable(`id ${id} in a row`);
    at += actual.length;
  }
  assert.is(at, bytes.length);
});

for (const [declare, step, name] of [[test, 9, "every ninth"], [testAll, 1, "every"]] as const) // biome-ignore format: short
  declare(`${name} token that is valid text encodes as defined, almost all to their own id`, () => {
    let whole = 0;
    for (let id = 0; id < 50256; id += step) {
      const bytes = reference.bytes(id);
      const text = Buffer.from(bytes).toString("utf8");
      if (!Buffer.from(text).equals(bytes)) continue; // a part of a character
      const ids = tokenizer.encodeBytes(bytes);
      assertIds(ids, reference.encode(text), text);
      if (ids.length === 1 && ids[0] === id) whole++;
    }
    assert.ok(whole > 49_000 / step, `${whole}`);
  });

test("<|endoftext|> is text by default and one id where it is allowed", () => {
  const text = "one<|endoftext|><|endoftext|> two<|endoftext|";
  const literal = [27, 91, 437, 1659, 5239, 91, 29];
  assertIds(tokenizer.encode("<|endoftext|>"), literal, "");
  assertIds(tokenizer.encode("<|endoftext|>", { allowSpecial: true }), [50256], "");
  assertIds(tokenizer.encode(text), reference.encode(text), text);
  assertIds(
    tokenizer.encode(text, { allowSpecial: true }),
    [...reference.encode("one"), 50256, 50256, ...reference.encode(" two<|endoftext|")],
    text,
  );
  assert.is(tokenizer.decode(tokenizer.encode(text, { allowSpecial: true })), text);
});

test("lone surrogates are U+FFFD and a byte order mark stays", () => {
  assertIds(tokenizer.encode("a\ud800b\udc00"), tokenizer.encode("a\ufffdb\ufffd"), "");
  assert.is(tokenizer.decode(tokenizer.encode("\ud83d")), "\ufffd");
  assert.is(tokenizer.decode(tokenizer.encode("\ufeffa")), "\ufeffa");
});

test("nothing encodes to nothing", () => {
  assert.is(tokenizer.encode("").length, 0);
  assert.is(tokenizer.encode("", { allowSpecial: true }).length, 0);
  assert.is(tokenizer.encodeBytes(new Uint8Array(0)).length, 0);
  assert.is(tokenizer.decode([]), "");
});

test("character classes are those of Unicode 16.0, whatever the JavaScript engine knows", () => {
  // Behind a letter, a number or white space 's is a piece, one id; behind other characters its apostrophe joins them.
  const apostropheS = tokenizer.encode("'s")[0]!;
  const countApart = (points: number[]) =>
    tokenizer
      .encode(points.map((point) => `${String.fromCodePoint(point)}'s\n`).join(""))
      .filter((id) => id === apostropheS).length;
  const isApart = (point: number) => countApart([point]) === 1;
  let apart = 0;
  for (let first = 0; first <= 0x10ffff; first += 2048)
    if (first !== 0xd800) apart += countApart(Array.from({ length: 2048 }, (_, i) => first + i));
  assert.is(apart, 141_028 + 1_911 + 25 - 1); // \p{L}, \p{N} and White_Space, as tiktoken 0.14 counts them, less U+0020
  assert.ok(isApart(0x1c89) && isApart(0x105c0)); // letters since 16.0
  assert.not(isApart(0x088f)); // a letter since 17.0
});

testRounds(
  4000,
  1_000_000,
  (texts) => `${texts} random texts have the ids of the definition`,
  (texts, seed) => {
    const rng = new Rng(seed);
    for (let i = 0; i < texts; i++) checkAgainstReference(randomText(rng, 24));
  },
);

test("long pieces of every shape have the ids of the definition", () => {
  const rng = new Rng(7);
  for (const length of [15, 16, 17, 47, 48, 49, 50, 200, 1500]) {
    for (const alphabet of ["a", "ab", "etaoin", "=", "-=", " ", "\n ", "0123456789", "语言", "🙂", "\u0301"]) {
      const letters = [...alphabet];
      let text = "";
      for (let i = 0; i < length; i++) text += letters[rng.below(letters.length)];
      checkAgainstReference(text);
    }
  }
});

test("a word of 200,000 letters is merged", () => {
  const rng = new Rng(11);
  let word = "";
  while (word.length < 200_000) word += String.fromCharCode(97 + rng.below(26));
  const ids = tokenizer.encode(word);
  assert.is(tokenizer.decode(ids), word);
  assert.ok(ids.length < 150_000);
});

test("texts longer than a chunk have the ids of their parts", () => {
  const rng = new Rng(3);
  // Parts that begin with a line feed after a letter: pieces end there, so ids of parts add up to those of the whole.
  for (const space of ["\n", "\n\u3000 \u0085 "]) {
    const parts = Array.from({ length: 6200 }, () => `${space}${randomText(rng, 60).toWellFormed()}z`);
    const expected = parts.flatMap((part) => Array.from(tokenizer.encode(part)));
    const text = parts.join("");
    assert.ok(utf8.encode(text).length > 2 * 262_144);
    assertIds(tokenizer.encode(text), expected, "parts");
    assertIds(tokenizer.encodeBytes(utf8.encode(text)), expected, "parts");
    assert.is(tokenizer.decode(expected), text);
  }
  const unbroken = "\u3000 ".repeat(200_000); // no place to cut
  assert.is(tokenizer.decode(tokenizer.encode(unbroken)), unbroken);
  assertIds(tokenizer.encode(unbroken), tokenizer.encodeBytes(utf8.encode(unbroken)), "unbroken");
});

test("bytes that are not UTF-8 are preserved", () => {
  const rng = new Rng(5);
  const starts = [0xc0, 0xc2, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xf5, 0xff];
  for (let i = 0; i < 5000; i++) {
    const bytes = Uint8Array.from({ length: rng.below(24) }, () =>
      rng.below(3) === 0
        ? starts[rng.below(starts.length)]!
        : rng.below(2) === 0
          ? 0x80 + rng.below(64)
          : rng.below(256),
    );
    assert.equal(tokenizer.decodeBytes(tokenizer.encodeBytes(bytes)), bytes);
  }
});

test("ids outside the vocabulary are refused with value and position", () => {
  for (const [ids, found] of [
    [[1, 2, 50257], "50257"],
    [[1, 2, -1], "-1"],
    [[1, 2, 0.5], "0.5"],
    [[1, 2, Number.NaN, 60000], "NaN"],
    [[1, 2, 2 ** 32 + 1], "4294967297"],
  ] as const) {
    for (const decode of [() => tokenizer.decode(ids), () => tokenizer.decodeBytes(ids)]) {
      assert.throws(decode, (error: unknown) => {
        assert.instance(error, DataError);
        assert.match((error as DataError).message, `position 2`);
        return (error as DataError).details.found === found;
      });
    }
  }
  assert.is(tokenizer.decode([39, 72]), "Hi"); // and the tokenizer still works
});

test("a stream returns the text of all ids in any grouping, and holds back incomplete characters", () => {
  const rng = new Rng(17);
  for (let round = 0; round < 1000; round++) {
    const ids =
      round % 2 ? tokenizer.encode(randomText(rng, 30)) : Uint32Array.from({ length: 9 }, () => rng.below(50257));
    const stream = tokenizer.decodeStream();
    let text = "";
    for (let at = 0; at < ids.length; ) {
      const stop = at + 1 + rng.below(3);
      text += stream.push(...ids.subarray(at, stop));
      at = stop;
    }
    assert.is(text + stream.end(), tokenizer.decode(ids));
  }
  const ids = tokenizer.encode("語🙂"); // several ids a character
  const stream = tokenizer.decodeStream();
  const pieces = Array.from(ids, (id) => stream.push(id));
  assert.equal(pieces.filter(Boolean), ["語", "🙂"]);
  assert.is(stream.end(), "");
  stream.push(ids[0]!);
  assert.is(stream.end(), "\ufffd");
  assert.throws(() => stream.push(50257), /position 0/);
  assert.is(stream.push(...tokenizer.encode("\ufeffHi")), "\ufeffHi");
});

test("at the limits of the short way a text has the ids of its bytes", () => {
  for (const text of ["z".repeat(87_381), "z".repeat(87_382), "wörter ".repeat(40_000)])
    assertIds(tokenizer.encode(text), tokenizer.encodeBytes(new TextEncoder().encode(text)), `${text.length}`);
});
