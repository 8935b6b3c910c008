import { mkdirSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { writeDirectoryAtomic } from "#platform";
import { LowrankError } from "../src/errors.ts";
import { withoutLines } from "../src/platform/native-output.ts";
import { saveSomewhere } from "../src/train/run-directory.ts";
import { assertFails, temporaryFolder } from "./border.ts";
import { test, testIf } from "./harness.ts";

/** Names that a source file exports, types included. */
function exportsOf(path: string): string[] {
  const source = readFileSync(path, "utf8");
  const declared = [...source.matchAll(/^export (?:async )?(?:const|function|interface|type) (\w+)/gm)];
  const listed = [...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) => names!.split(","));
  return [
    ...declared.map(([, name]) => name!),
    ...listed
      .map(
        (name) =>
          name
            .trim()
            .split(/\s+as\s+|^type\s+/)
            .at(-1)!,
      )
      .filter((name) => name !== ""),
  ].sort();
}

test("Node's side and the page's side export the same names", () => {
  const node = exportsOf("src/platform/node.ts");
  assert.ok(node.includes("openFile") && node.includes("joinPath"), node.join(", "));
  assert.equal(exportsOf("src/platform/browser.ts"), node);
});

test("the library for pages exports the names of the one for Node, and what gives a page's files a path", () => {
  const inNode = exportsOf("src/index.ts");
  const inPage = exportsOf("src/browser.ts");
  assert.ok(inNode.length > 30, inNode.join(", "));
  assert.equal(inPage, [...inNode, "forgetFile", "registerFile"].sort());
});

test("a directory is written whole; of one that is there its own entries are replaced, and others stay", async () => {
  const directory = join(temporaryFolder(), "run");
  const write = (names: string[], replaced?: string[]) =>
    writeDirectoryAtomic(directory, new Map(names.map((name) => [name, name])), replaced);
  const entries = () => readdirSync(directory).sort();
  await write(["a", "b/c"]);
  writeFileSync(join(directory, "thesis.txt"), "mine");
  await assertFails(LowrankError, ["disk cannot be written to", directory, "other files"], () => write(["a"]));
  assert.equal(entries(), ["a", "b", "thesis.txt"]);
  await write(["a", "d"], ["a", "b", "d"]);
  assert.equal(entries(), ["a", "d", "thesis.txt"]);
  const broken = new Map([
    [
      "a",
      (async function* () {
        yield new Uint8Array(1);
        throw new LowrankError("broken");
      })(),
    ],
  ]);
  await assertFails(LowrankError, ["broken"], () => writeDirectoryAtomic(directory, broken, ["a", "d"]));
  assert.equal(entries(), ["a", "d", "thesis.txt"]);
  assert.equal(readdirSync(join(directory, "..")), ["run"]);
});

test("what cannot be saved where it was asked for is saved beside it, under a name that is free", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "run.rescued"));
  const saved: string[] = [];
  const save = async (place: string) => {
    if (place.endsWith("run")) throw new Error("full");
    saved.push(place);
  };
  const { place, fault } = await saveSomewhere(join(folder, "run"), save);
  assert.equal(saved, [place]);
  assert.equal([place, (fault as Error).message], [join(folder, "run.rescued.2"), "full"]);
});

testIf(
  process.platform === "linux",
  "not Linux",
  "of what native code prints only lines that match are left out",
  async () => {
    const { write } = process.stderr;
    const printed: unknown[] = [];
    process.stderr.write = (text: unknown) => printed.push(text) > 0;
    const noisy = (more: () => number) =>
      withoutLines(/^Warning: noise/, () => {
        writeSync(2, "Warning: noise 1\nan error of the driver\nWarning: noise 2\nand its end");
        return more();
      });
    try {
      assert.is(await noisy(() => 7), 7);
      await noisy(() => {
        throw new Error("no adapter");
      }).catch(({ message }) => printed.push(message));
      await withoutLines(/noise/, () => writeSync(2, "noise\n"));
    } finally {
      process.stderr.write = write;
    }
    const rest = "an error of the driver\nand its end";
    assert.equal(printed, [rest, rest, "no adapter"]);
  },
);
