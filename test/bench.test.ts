/** `bench step --peer torch`, with a substitute for python3. */
import { writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "./border.ts";
import { test } from "./harness.ts";
import { assertCode, runCommand } from "./spawn.ts";
import { messages } from "./tiny.ts";

const folder = temporaryFolder();
writeFileSync(join(folder, "data.csv"), messages(40));
process.env.PATH = `${folder}${delimiter}${process.env.PATH}`;

/** Replaces Python with a script for Node; `lines` is its input. */
function python(script: string): void {
  const lines = 'const lines = require("node:readline").createInterface({ input: process.stdin });';
  writeFileSync(join(folder, "python3"), `#!/usr/bin/env node\n${lines}\n${script}\n`, { mode: 0o755 });
}

const bench = (...args: string[]) => {
  const step = ["step", "--device", "wasm", "--threads", "1", "--data", "data.csv", "--steps", "2", "--peer", "torch"];
  return runCommand("bench", [...step, ...args], { cwd: folder });
};

test("PyTorch's steps alternate with ours; its BLAS is reported", async () => {
  python(`
    let asked = 0;
    lines.on("line", (line) => {
      const about = { version: "9.9", blas: "somebody's", threads: JSON.parse(line).n_layer };
      const step = { time: 1e6 + asked, cpu: 2e6, peak: 3e9 };
      console.log(JSON.stringify(asked++ === 0 ? about : step));
    });`);
  const finished = await bench();
  assertCode(finished, 0);
  assert.match(finished.stdout, "alternating with PyTorch 9.9 (somebody's, 4 threads), padded to 120");
  assert.match(finished.stdout, "step:   1000001.5 ms (1000001.3 to 1000001.8), best 1000001.0 ms, 2000000.0 ms");
  assert.match(finished.stdout, "memory: 3.00 GB");
  assert.match(finished.stdout, "ratio:  0.00 x PyTorch's median time");
});

test("a Python without PyTorch is refused with Python's error", async () => {
  python(`console.error("ModuleNotFoundError: No module named 'torch'"); process.exit(1);`);
  const finished = await bench();
  assertCode(finished, 2);
  assert.match(finished.stderr, "PyTorch cannot be run");
  assert.match(finished.stderr, "No module named 'torch'");
});

test("the benchmark fails if PyTorch ends early", async () => {
  python(`lines.on("line", () => { console.log('{"version": "9.9", "blas": "b", "threads": 1}'); process.exit(3); });`);
  const finished = await bench();
  assertCode(finished, 1);
  assert.match(finished.stderr, "LowrankError: python3 ended unexpectedly\n  found:    exit code 3");
  assert.not.match(finished.stderr, /\n {4}at /, "a stack trace is for bugs");
});
