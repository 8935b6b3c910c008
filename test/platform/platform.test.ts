import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { nextTurn, restoreDirectory, restUntil, writeDirectory, writeFileAtomic, writeFiles } from "#platform";
import { LowrankError } from "../../src/core/errors.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test, testIf } from "../helpers/harness.ts";
import { filesIn, snapshot } from "../helpers/spawn.ts";

/** Names that a source file exports, types included. */
function exportedNames(path: string): string[] {
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
  const node = exportedNames("src/platform/node.ts");
  assert.ok(node.includes("openFile") && node.includes("joinPath"), node.join(", "));
  assert.equal(exportedNames("src/platform/browser.ts"), node);
});

const words = (names: readonly string[], word = "new") => new Map(names.map((name) => [name, `${word} ${name}`]));
async function* breaking() {
  yield new Uint8Array(1);
  throw new LowrankError("write-failed", "broken");
}
const broken = () => new Map([["a", breaking()]]);

test("a directory is written whole, where there is none, an empty one, or one of its own files alone", async () => {
  const folder = temporaryFolder();
  const directory = join(folder, "inside", "run");
  await writeDirectory(directory, words(["a", "b/c"], "old"));
  assert.equal(filesIn(directory), ["a", "b/c"]);
  const refused = (own: string[], found: string) =>
    assertFails("files-in-the-way", [directory, `found:    ${found}`], () =>
      writeDirectory(directory, words(["a", "d"]), async () => own),
    );
  await refused([], "a, b");
  await refused(["a"], "b");
  await refused(["a", "b"], "b");
  mkdirSync(join(directory, "e"));
  symlinkSync("nowhere", join(directory, "b", "link"));
  await refused(["a", "b/c"], "b/link, e");
  assert.equal(snapshot(directory), new Map([...words(["a", "b/c"], "old")].map(([name, text]) => [name, btoa(text)])));
  rmSync(join(directory, "b", "link"));
  rmSync(join(directory, "e"), { recursive: true });
  await assertFails("write-failed", ["broken"], () => writeDirectory(directory, broken(), async () => ["a", "b/c"]));
  assert.equal(filesIn(directory), ["a", "b/c"]);
  await writeDirectory(directory, words(["a", "d"]), async () => ["a", "b/c", "x/y"]);
  assert.equal([readdirSync(directory), readFileSync(join(directory, "a"), "utf8")], [["a", "d"], "new a"]);
  await writeDirectory(join(folder, "empty"), new Map());
  await writeDirectory(join(folder, "empty"), words(["a"]));
  assert.equal([readdirSync(folder), readdirSync(join(folder, "inside"))], [["empty", "inside"], ["run"]]);
});

test("of two processes that write a directory at the same time one fails, and the other's is whole", async () => {
  const directory = join(temporaryFolder(), "run");
  const names = ["a", "b", "c/d"];
  const ended = await Promise.allSettled(
    ["first", "second"].map((word) => writeDirectory(directory, words(names, word))),
  );
  assert.equal(ended.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const word = ended[0]!.status === "fulfilled" ? "first" : "second";
  for (const name of names) assert.is(readFileSync(join(directory, name), "utf8"), `${word} ${name}`);
});

test("what killed processes have left goes; an old directory that lost its name has it again", async () => {
  const folder = temporaryFolder();
  const directory = join(folder, "run");
  const left = (suffix: string) => join(folder, `.run.01234567${suffix}`);
  await writeDirectory(left(".lowrank.tmp"), words(["half"]));
  await writeDirectory(left(".lowrank.old"), words(["a"], "old"));
  assert.equal([await restoreDirectory(directory), await restoreDirectory(directory)], [true, false]);
  assert.equal(snapshot(directory), new Map([["a", btoa("old a")]]));
  await writeDirectory(left(".lowrank.old"), words(["a"], "older"));
  writeFileSync(join(folder, ".run.tmp"), "mine");
  await writeDirectory(directory, words(["a"]), async () => ["a"]);
  assert.equal(readdirSync(folder), [".run.tmp", "run"]);
  writeFileSync(join(folder, ".labelled.csv.01234567.lowrank.tmp"), "half");
  async function* rows() {
    yield new TextEncoder().encode("whole");
  }
  await writeFileAtomic(join(folder, "labelled.csv"), rows());
  assert.equal(readdirSync(folder), [".run.tmp", "labelled.csv", "run"]);
});

test("files are written beside others, through links of folders; nothing has changed if one cannot be", async () => {
  const folder = temporaryFolder();
  const [directory, elsewhere] = [join(folder, "run"), join(folder, "elsewhere")];
  mkdirSync(elsewhere);
  mkdirSync(directory);
  symlinkSync(elsewhere, join(directory, "b"));
  for (const name of ["b/thesis.txt", "old"]) writeFileSync(join(directory, name), "mine");
  await assertFails("write-failed", ["broken"], () => writeFiles(directory, broken(), ["old"]));
  const files = () => filesIn(folder).filter((path) => !path.startsWith("run/b/"));
  assert.equal(files(), ["elsewhere/thesis.txt", "run/old"]);
  await writeFiles(directory, words(["b/c", "a"]), ["old", "none"]);
  assert.equal(files(), ["elsewhere/c", "elsewhere/thesis.txt", "run/a"]);
  symlinkSync(join("..", "run", "a"), join(elsewhere, "link"));
  await writeFileAtomic(join(elsewhere, "link"), "through");
  assert.is(readFileSync(join(directory, "a"), "utf8"), "through");
});

testIf(
  existsSync("/proc"),
  "there is no /proc",
  "a folder that nobody can make is an error: Node's own mkdir would try for ever",
  async () => {
    await assertFails("write-failed", ["ENOENT"], () => writeFileAtomic("/proc/lowrank/run/a", ""));
  },
);

test("every turn of the event loop sleeps once while a promise of Dawn is pending, however many there were", async () => {
  const { wait } = Atomics;
  let slept = 0;
  Atomics.wait = () => {
    slept++;
    return "timed-out";
  };
  const turns = async (count: number) => {
    const before = slept;
    for (let turn = 0; turn < count; turn++) await nextTurn();
    return slept - before;
  };
  try {
    for (let i = 0; i < 5; i++) await restUntil(Promise.resolve());
    const ends: (() => void)[] = [];
    const all = [0, 1].map(() => restUntil(new Promise<void>((end) => ends.push(end))));
    const failed = restUntil(Promise.reject(new Error("refused")));
    assert.match(await failed.catch(String), "refused");
    assert.is(await turns(10), 10);
    ends[0]!();
    await all[0];
    assert.is(await turns(10), 10);
    ends[1]!();
    await all[1];
    assert.is(await turns(10), 0);
  } finally {
    Atomics.wait = wait;
  }
});
