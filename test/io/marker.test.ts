/** What is ours in a folder, and what is the user's: by its marker and the SHA-256 of its files. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";
import * as assert from "uvu/assert";
import {
  listedIn,
  marked,
  ownFiles,
  readFolder,
  refuseOutput,
  removeFolder,
  writeFolder,
} from "../../src/io/marker.ts";
import { zip } from "../../src/io/zip.ts";
import { contentPieces, type FileContent } from "../../src/platform/reader.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { filesIn, snapshot } from "../helpers/spawn.ts";

const folder = temporaryFolder();
const KIND = listedIn("lowrank-test");
const OTHER = listedIn("lowrank-other");
const MARKER = KIND.name;

async function* pieces() {
  yield new Uint8Array([1, 2]);
  yield new Uint8Array([3]);
}
const contents = () =>
  new Map<string, FileContent>([
    ["a.txt", "a"],
    ["in/b.bin", new Uint8Array(3)],
    ["c", pieces()],
  ]);
const write = (out: string, replace = false, kind = KIND) => writeFolder(out, marked(contents(), kind), kind, replace);
const refuse = (out: string, kind = KIND) => refuseOutput(out, true, kind, () => ({ found: "a test", hint: "force" }));
const own = async (out: string) => [...(await ownFiles(out, KIND)).keys()];
async function written(name: string): Promise<string> {
  const out = join(folder, name);
  await write(out);
  return out;
}

test("a folder is written with its marker last, on a disk and in a zip file alike, read, replaced and removed", async () => {
  const out = await written("whole");
  assert.equal(await own(out), ["a.txt", "in/b.bin", "c", MARKER]);
  const { files } = JSON.parse(readFileSync(join(out, MARKER), "utf8"));
  assert.is(files["a.txt"], "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
  assert.is(files.c, "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81");
  const zipped = unzipSync(new Uint8Array(await (await zip(marked(contents(), KIND), "x/")).arrayBuffer()));
  assert.equal(Object.keys(zipped).at(-1), `x/${MARKER}`);
  for (const name of filesIn(out))
    assert.equal(zipped[`x/${name}`], new Uint8Array(readFileSync(join(out, name))), name);
  const read = await readFolder(out, KIND);
  for (const [name, content] of read)
    for await (const piece of contentPieces(content)) assert.equal([...piece], [...readFileSync(join(out, name))]);
  assert.equal([...read.keys()], await own(out));
  assert.ok(await refuse(out));
  await write(out, true);
  await removeFolder(out, KIND);
  assert.not.ok(existsSync(out));
});

test("a file that has changed, another one and a folder of another kind are the user's, and stay", async () => {
  const out = await written("mine");
  writeFileSync(join(out, "a.txt"), "what I have written since");
  writeFileSync(join(out, "in", "notes"), "mine");
  assert.equal(await own(out), ["in/b.bin", "c", MARKER]);
  const before = snapshot(out);
  await assertFails("output-exists", ["a.txt (changed since it was written), in/notes"], () => refuse(out));
  await assertFails("files-in-the-way", ["a.txt, in/notes"], () => write(out, true));
  await assertFails("output-exists", ["found:    a.txt, c, in, "], () => refuse(out, OTHER));
  await assertFails("files-in-the-way", [MARKER], () => write(out, true, OTHER));
  await removeFolder(out, OTHER);
  assert.equal(snapshot(out), before);
  await removeFolder(out, KIND);
  assert.equal(filesIn(out), ["a.txt", "in/notes"]);
});

test("a file that is changed while the new folder is written stays", async () => {
  const out = await written("meanwhile");
  async function* late() {
    writeFileSync(join(out, "a.txt"), "mine");
    yield new Uint8Array(1);
  }
  const files = marked(new Map([["new", late()]]), KIND);
  await assertFails("files-in-the-way", ["a.txt"], () => writeFolder(out, files, KIND, true));
  assert.equal([readFileSync(join(out, "a.txt"), "utf8"), readdirSync(out).length], ["mine", 4]);
});

test("what a marker lists outside its folder, in another form or as a link is not ours", async () => {
  const out = await written("hostile");
  const outside = join(folder, "outside");
  writeFileSync(outside, "a");
  const sum = JSON.parse(readFileSync(join(out, MARKER), "utf8")).files["a.txt"];
  const mark = (files: unknown, more = {}) =>
    writeFileSync(join(out, MARKER), JSON.stringify({ format: KIND.format, version: 1, files, ...more }));
  mark({ "../outside": sum, [outside]: sum, "in/../a.txt": sum, "in\\b.bin": sum, "a.txt": [sum], c: 3 });
  assert.equal(await own(out), [MARKER]);
  for (const files of [null, "a.txt", ["a.txt"]]) {
    mark(files);
    assert.equal(await own(out), [MARKER]);
  }
  // What is about to be written, and an empty file where it was to be, are known as well.
  writeFileSync(join(out, "c"), "");
  mark({}, { pending: { "a.txt": sum, c: sum, missing: sum } });
  assert.equal(await own(out), ["a.txt", "c", "missing", MARKER]);
  mark({}, { version: 2 });
  assert.equal(await own(out), []);
  writeFileSync(join(out, MARKER), "{");
  assert.equal(await own(out), []);
  const linked = join(folder, "linked");
  symlinkSync(await written("target"), linked);
  await assertFails("invalid-output", ["a link or a mount point"], () => refuse(linked));
  mkdirSync(join(folder, "empty"));
  assert.not.ok(await refuse(join(folder, "empty")));
});
