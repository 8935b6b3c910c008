/** What `npm run mutants` plants, and in which files: faults in what runs, none in what is only read. */
import { spawnSync } from "node:child_process";
import { copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { temporaryFolder } from "./helpers/border.ts";
import { test, testIf } from "./helpers/harness.ts";

interface Fault {
  start: number;
  end: number;
  after: string;
}

/** The text with each fault in turn. */
async function plantAll(path: string, text: string): Promise<string[]> {
  const { listFaults }: { listFaults(path: string, text: string): Fault[] } = await import(
    packagePath("test/faults.mjs")
  );
  return listFaults(path, text).map(({ start, end, after }) => text.slice(0, start) + after + text.slice(end));
}

test("faults in TypeScript: each changes code that runs", async () => {
  const code = "if (a < 1) f(a, await g(b.slice(c)));";
  assert.equal((await plantAll("a.ts", code)).sort(), [
    "if (!(a < 1)) f(a, await g(b.slice(c)));",
    "if (a < 1) ;",
    "if (a < 1) f(a, await g(b.slice(c + 1)));",
    "if (a < 1) f(a, g(b.slice(c)));",
    "if (a < 1) f(await g(b.slice(c)), a);",
    "if (a < 2) f(a, await g(b.slice(c)));",
    "if (a <= 1) f(a, await g(b.slice(c)));",
  ]);
});

test("comments, types, imports and messages stay", async () => {
  const code = `import { a } from "b"; // a < 1
    interface C { d: "e" | 1 }
    export const f = (g: 1 | 2) => new FormatError("one of 1", { where: "a" + 1 });
    export const h = "see you there";`;
  assert.equal(await plantAll("a.ts", code), []);
});

test("faults in WGSL: operators between blanks, numbers, statements and conditions", async () => {
  const code = "// a < b\n@group(0) @binding(1) var<uniform> x: X;\n  if (a < b) {\n    c = 4u;\n";
  const lines = (await plantAll("a.wgsl", code)).map((text) =>
    text
      .split("\n")
      .slice(2, 4)
      .map((line) => line.trim()),
  );
  assert.equal(lines, [
    ["if (a <= b) {", "c = 4u;"],
    ["if (!(a < b)) {", "c = 4u;"],
    ["if (a < b) {", "c = 5u;"],
    ["if (a < b) {", ";"],
  ]);
});

testIf(
  spawnSync("git", ["--version"]).status === 0,
  "there is no git",
  "node_modules is no part of the tree, also where it is a symbolic link",
  () => {
    const folder = temporaryFolder();
    copyFileSync(packagePath(".gitignore"), join(folder, ".gitignore"));
    symlinkSync(packagePath("node_modules"), join(folder, "node_modules"));
    const git = (...args: string[]) => spawnSync("git", args, { cwd: folder, encoding: "utf8" }).stdout;
    git("init", "--quiet");
    assert.is(git("ls-files", "--others", "--exclude-standard"), ".gitignore\n");
  },
);
