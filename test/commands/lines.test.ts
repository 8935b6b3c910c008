/** Lines of standard input: in pieces of any size, in linear time, with a maximum length. */
import * as assert from "uvu/assert";
import { inputLines } from "../../src/commands/cli.ts";
import { LIMITS } from "../../src/io/limits.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function splitLines(content: string | Uint8Array, size = 1 << 16): Promise<string[]> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const lines: string[] = [];
  for await (const some of inputLines(inPieces(bytes, size))) {
    assert.ok(some.length > 0 && some.length <= 64);
    lines.push(...some);
  }
  return lines;
}

test("line ends, a byte order mark, null bytes, invalid UTF-8, no line end at the end; in pieces of every size", async () => {
  const cases: [content: string | Uint8Array, lines: string[]][] = [
    ["", []],
    ["\n", [""]],
    ["a", ["a"]],
    ["a\n", ["a"]],
    ["a\r\nb\r\n\r\n\nc\r", ["a", "b", "", "", "c"]],
    ["\r", [""]],
    ["a\rb\n", ["a\rb"]],
    ["\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]],
    ["\ufeff\ufeff", ["\ufeff"]],
    ["a\0b\n\0\n", ["a\0b", "\0"]],
    ["ü€😀\n\u07ff\n", ["ü€😀", "\u07ff"]],
    [Uint8Array.of(0xe2, 0x82, 10, 0xac, 0xff, 10, 0xf0), ["\ufffd", "\ufffd\ufffd", "\ufffd"]],
  ];
  for (const [content, lines] of cases)
    for (const size of [1, 2, 3, 5, 1 << 16])
      assert.equal(await splitLines(content, size), lines, JSON.stringify(content));
  const many = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
  assert.equal(await splitLines(many.join("\n"), 7), many);
});

test("a line of the maximum length is read; a longer one is refused with its number", async () => {
  const bytes = new Uint8Array(LIMITS.line + 3).fill(97);
  bytes[0] = 10;
  bytes[LIMITS.line + 1] = 10;
  // 16 MB in pieces of a pipe's size.
  const lines = await splitLines(bytes, 1 << 12);
  assert.equal(
    lines.map(({ length }) => length),
    [0, LIMITS.line, 1],
  );
  bytes[LIMITS.line + 1] = 97;
  await assertFails("exceeds-limit", ["too long", "standard input, line 2", `at most ${LIMITS.line} characters`], () =>
    splitLines(bytes),
  );
  // Reading an endless line ends at the maximum length.
  async function* endless() {
    for (;;) yield bytes.subarray(1, 1 << 16);
  }
  await assertFails("exceeds-limit", ["too long", "line 1"], () => inputLines(endless()).next());
});
