import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { nextTurn, restUntil } from "#platform";
import { LowrankError } from "../../src/errors.ts";
import { finishReplacing, writeDirectoryAtomic } from "../../src/platform/replacing.ts";
import { saveSomewhere } from "../../src/run/files.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { filesIn } from "../helpers/spawn.ts";

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

test("the library for pages exports the same names as for Node, and setPackageUrl: Node knows where the package is", () => {
  const inNode = exportedNames("src/index.ts");
  const inPage = exportedNames("src/browser.ts");
  assert.ok(inNode.includes("fineTune"), inNode.join(", "));
  assert.equal(inPage, [...inNode, "setPackageUrl"].sort());
});

test("a directory is written atomically; in an existing one only the own files are replaced", async () => {
  const folder = temporaryFolder();
  const directory = join(folder, "run");
  const write = (names: string[], own?: string[]) =>
    writeDirectoryAtomic(directory, new Map(names.map((name) => [name, `new ${name}`])), own ? { own } : {});
  await write(["a", "b/c"]);
  assert.equal(filesIn(directory), ["a", "b/c"]);
  writeFileSync(join(directory, "b", "thesis.txt"), "mine");
  for (const [names, own, found] of [
    [["a"], [], "a"],
    [["a", "b/thesis.txt"], ["a"], "b/thesis.txt"],
    [["b"], ["b"], "b"],
    [["a/d"], ["a"], "a"],
  ] as const)
    await assertFails(LowrankError, "files-in-the-way", [directory, `found:    ${found}`], () =>
      write([...names], [...own]),
    );
  assert.equal(filesIn(directory), ["a", "b/c", "b/thesis.txt"]);
  await write(["a", "d"], ["a", "b/c", "d", "e/f"]);
  assert.equal(filesIn(directory), ["a", "b/thesis.txt", "d"]);
  await write(["a"], ["a", "d"]);
  const broken = new Map([
    [
      "a",
      (async function* () {
        yield new Uint8Array(1);
        throw new LowrankError("write-failed", "broken");
      })(),
    ],
  ]);
  await assertFails(LowrankError, "write-failed", ["broken"], () =>
    writeDirectoryAtomic(directory, broken, { own: ["a"] }),
  );
  const lost = async () => {
    throw new LowrankError("write-failed", "lost");
  };
  await assertFails(LowrankError, "write-failed", ["lost"], () =>
    writeDirectoryAtomic(directory, new Map([["a", "x"]]), { own: ["a"], check: lost }),
  );
  assert.equal(filesIn(directory), ["a", "b/thesis.txt"]);
  assert.equal(readdirSync(folder), ["run"]);
  assert.equal(readdirSync(directory).sort(), ["a", "b"]);
  assert.is(readFileSync(join(directory, "b", "thesis.txt"), "utf8"), "mine");
});

test("links stay links: of the directory, of a folder in it, of a file; the files that they point to are replaced", async () => {
  const folder = temporaryFolder();
  const [directory, elsewhere] = [join(folder, "run"), join(folder, "elsewhere")];
  const files = (word: string) => new Map(["a", "b/c", "d"].map((name) => [name, word]));
  await writeDirectoryAtomic(join(elsewhere, "run"), files("old"));
  renameSync(join(elsewhere, "run", "b"), join(elsewhere, "b"));
  renameSync(join(elsewhere, "run", "a"), join(elsewhere, "a"));
  symlinkSync(join(elsewhere, "run"), directory);
  symlinkSync(join(elsewhere, "b"), join(directory, "b"));
  symlinkSync(join(elsewhere, "a"), join(directory, "a"));
  symlinkSync(join(elsewhere, "nothing"), join(elsewhere, "run", "e"));
  writeFileSync(join(elsewhere, "b", "thesis.txt"), "mine");
  await writeDirectoryAtomic(directory, files("new"), { own: ["a", "b/c", "d", "e"] });
  for (const link of [directory, join(directory, "b"), join(directory, "a")])
    assert.ok(lstatSync(link).isSymbolicLink(), link);
  assert.equal(filesIn(elsewhere), ["a", "b/c", "b/thesis.txt", "run/a", "run/b/c", "run/b/thesis.txt", "run/d"]);
  for (const name of ["a", "b/c", "run/d"]) assert.is(readFileSync(join(elsewhere, name), "utf8"), "new", name);
  // Without one that has its name a link goes, and what it points to stays.
  await writeDirectoryAtomic(directory, new Map(), { own: ["a", "b/c", "d"] });
  assert.equal(filesIn(elsewhere), ["a", "b/thesis.txt", "run/b/thesis.txt"]);
});

test("the journal of a copied directory moves and deletes nothing", async () => {
  const folder = temporaryFolder();
  const directory = join(folder, "run");
  mkdirSync(join(directory, ".lowrank-new"), { recursive: true });
  for (const name of ["a", "b", ".lowrank-new/a"]) writeFileSync(join(directory, name), name);
  const journal = (more: object) =>
    writeFileSync(
      join(directory, ".lowrank-new", "journal.json"),
      JSON.stringify({ files: ["a"], gone: ["b"], ...more }),
    );
  journal({});
  await assertFails(LowrankError, "copied-while-replaced", [directory], () => finishReplacing(directory));
  journal({ folder: String(statSync(directory).ino) });
  await assertFails(LowrankError, "copied-while-replaced", [directory], () => finishReplacing(directory));
  const staging = join(directory, ".lowrank-new");
  const folderNumber = () => String(statSync(staging).ino);
  for (const gone of ["../b", "/etc/passwd", "b/../../c", ""]) {
    journal({ folder: folderNumber(), gone: [gone] });
    assert.is(await finishReplacing(directory), false);
    assert.equal(filesIn(directory), ["a", "b"], "a journal with other directories' files is none");
    mkdirSync(staging);
    writeFileSync(join(staging, "a"), ".lowrank-new/a");
  }
  journal({ folder: folderNumber() });
  assert.is(await finishReplacing(directory), true);
  assert.equal(filesIn(directory), ["a"]);
  assert.is(readFileSync(join(directory, "a"), "utf8"), ".lowrank-new/a");
});

test("if the requested directory cannot be written, a free name next to it is used", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "run.rescued"));
  const saved: string[] = [];
  const save = async (place: string) => {
    if (place.endsWith("run")) throw new Error("full");
    saved.push(place);
  };
  const { place, failure: fault } = await saveSomewhere(join(folder, "run"), save);
  assert.equal(saved, [place]);
  assert.equal([place, (fault as Error).message], [join(folder, "run.rescued.2"), "full"]);
});

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
