/** Faults that are planted, to see that the judge of all fuzzing notices each. */
import { openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/core/errors.ts";
import { test } from "../helpers/harness.ts";
import { type Kind, runner } from "./fuzz.ts";

type Read = Kind<{ files: Map<string, string> }>["read"];
const good: Read = async () => () => {};
let filled = 0;

const PLANTED: Record<string, [read: Read, expected: RegExp | null]> = {
  "a good result": [good, null],
  "an error of ours": [() => Promise.reject(new FormatError("invalid-json", "no")), null],
  "another error": [() => Promise.reject(new TypeError("oops")), /none of ours: TypeError: oops/],
  "a result that is wrong": [
    async () => () => {
      throw new FormatError("invalid-json", "wrong");
    },
    /it is read, but: FormatError: wrong/,
  ],
  "a message that is long": [
    () => Promise.reject(Object.assign(new FormatError("invalid-json", "x"), { message: "x".repeat(4000) })),
    /a message of 4000 characters/,
  ],
  "a message that a terminal obeys": [
    () => Promise.reject(Object.assign(new FormatError("invalid-json", "x"), { message: "\u001b[2J" })),
    /a control character in the message/,
  ],
  "a file that is left": [
    async (_, folder) => {
      writeFileSync(join(folder, ".x.tmp"), "");
      return () => {};
    },
    /it leaves \.x\.tmp in its folder/,
  ],
  "a temporary file that is left": [
    async () => {
      writeFileSync(join(tmpdir(), "x"), "");
      return () => {};
    },
    /it leaves x among the temporary files/,
  ],
  "a file that is changed": [
    async (_, folder) => {
      writeFileSync(join(folder, "a.txt"), "other");
      return () => {};
    },
    /it changes a\.txt/,
  ],
  "a file that is removed": [
    async (_, folder) => {
      rmSync(join(folder, "a.txt"));
      return () => {};
    },
    /it removes a\.txt/,
  ],
  "a file that stays open": [
    async (_, folder) => {
      openSync(join(folder, "a.txt"), "r");
      return () => {};
    },
    process.platform === "linux" ? /it leaves open: .*a\.txt/ : null,
  ],
  memory: [
    async () => {
      // Not in the rounds that go before the first case.
      if (++filled > 2) new Uint8Array(400 << 20).fill(1);
      return () => {};
    },
    /it takes \d+ MiB of memory/,
  ],
  "a loop without an end": [
    async () => {
      for (;;);
    },
    /it hangs: no end after 0\.5 s/,
  ],
  "a promise that is not kept": [() => new Promise(() => {}), /the worker ended before the case did/],
  "an error that nobody waits for": [
    async () => {
      setTimeout(() => {
        throw new Error("late");
      }, 1);
      await new Promise((later) => setTimeout(later, 100));
      return () => {};
    },
    /it ends the worker: Error: late/,
  ],
};

for (const [name, [read, expected]] of Object.entries(PLANTED)) {
  const run = runner(
    {
      name: `planted ${name}`,
      count: 1,
      make: () => ({ files: new Map([["a.txt", "as it was"]]) }),
      read,
    },
    name === "a loop without an end" ? 500 : undefined,
  );
  if (isMainThread)
    test(`${name} is ${expected ? "noticed, with how to repeat it" : "no fault"}`, async () => {
      const message = await run(7, 1).then(
        () => "",
        (error: Error) => error.message,
      );
      if (expected === null) assert.is(message, "");
      else
        for (const part of [expected, /seed 7: /, /LOWRANK_FUZZ=1 LOWRANK_FUZZ_SEED=7 node test/])
          assert.match(message, part);
    });
}
