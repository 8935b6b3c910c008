/** What readers of bytes from outside take: so much, so deep; and what an error quotes of it. */
import { spawnSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openFile, readBytes } from "#platform";
import { LowrankError } from "../../src/core/errors.ts";
import { readJson } from "../../src/io/common.ts";
import { LIMITS, parseJson } from "../../src/io/limits.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test, testIf } from "../helpers/harness.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

test("JSON may be nested up to the limit; brackets in strings do not count", async () => {
  const { jsonDepth } = LIMITS;
  const text = `{"${"[".repeat(100)}\\"${"{".repeat(100)}": ${nested(jsonDepth - 1)}, "b": ${nested(jsonDepth - 1)}}`;
  assert.equal(parseJson(bytes(text), "a"), JSON.parse(text));
  for (const depth of [jsonDepth + 1, 20_000, 1_000_000])
    await assertFails("exceeds-limit", ["too many levels", "at a", `at most ${jsonDepth}`], () =>
      parseJson(bytes(nested(depth)), "at a"),
    );
  await assertFails("invalid-json", ["not a JSON file", "a"], () => parseJson(new Uint8Array([0x22, 0xff, 0x22]), "a"));
});

test("a JSON file larger than the limit is refused before it is read", async () => {
  const path = join(temporaryFolder(), "big.json");
  writeFileSync(path, "{}");
  assert.equal(await readJson(path, 2), {});
  await assertFails("exceeds-limit", ["too large", path, "at most 1 bytes", "2 bytes"], () => readJson(path, 1));
  // Sparse: it takes no room on the disk.
  truncateSync(path, 2 ** 40);
  await assertFails("exceeds-limit", ["too large", path], () => readJson(path));
});

testIf(process.platform !== "win32", "no named pipes", "a pipe without a writer and a device are refused", async () => {
  const pipe = join(temporaryFolder(), "pipe");
  assert.is(spawnSync("mkfifo", [pipe]).status, 0);
  for (const path of [pipe, "/dev/zero"])
    for (const read of [readBytes, openFile, readJson])
      await assertFails("cannot-read-file", [path, "a pipe or a device"], () => read(path));
});

test("a message has at most some 2 kB, and no control characters but line ends", () => {
  const long = "x".repeat(1_000_000);
  const { message, details } = new LowrankError("write-failed", long, {
    where: long,
    expected: long,
    found: long,
    hint: long,
  });
  assert.ok(message.length < 3000, String(message.length));
  assert.match(message, `[${1_000_000 - 480} characters left out]`);
  assert.is(details.found, long);
  const bells = "\u0007".repeat(480);
  const rung = new LowrankError("write-failed", bells, { where: bells, expected: bells, found: bells, hint: bells });
  assert.ok(rung.message.length < 3000, String(rung.message.length));
  const hostile = new LowrankError("write-failed", "a\u001b]0;title\u0007", {
    found: "b\n\tc\u0000\u009b\u202e\ud83d\ude00",
  });
  assert.is(
    hostile.message,
    "a\\u001b]0;title\\u0007\n  found:    b\n            \tc\\u0000\\u009b\\u202e\ud83d\ude00",
  );
});
