/** Zip files: what is written is read by another program, and the other way round; damaged ones are refused. */
import { unzipSync, Zip, ZipDeflate, ZipPassThrough, zipSync } from "fflate";
import * as assert from "uvu/assert";
import { LIMITS } from "../../src/io/limits.ts";
import { atAdapter } from "../../src/io/peft/open-adapter.ts";
import { readAdapter } from "../../src/io/peft/peft.ts";
import { adapterFiles } from "../../src/io/peft/peft-write.ts";
import { openZip } from "../../src/io/unzip.ts";
import { zip } from "../../src/io/zip.ts";
import { forgetFile, registeredPaths, registerFile } from "../../src/platform/files.ts";
import { blobReader } from "../../src/platform/reader.ts";
import { drawTensors, modeMeta, testMeta } from "../helpers/adapters.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const noise = Uint8Array.from({ length: 300_001 }, (_, i) => (i * i * 2654435761) >>> 13);
const FILES: Record<string, Uint8Array<ArrayBuffer>> = {
  "run/data/Zürich ü.csv": utf8("text,label\n".repeat(9000)),
  "run/empty": new Uint8Array(),
  "run/adapter/weights": noise,
};

async function bytesOf(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await blob.arrayBuffer());
}

async function read(bytes: Uint8Array<ArrayBuffer>): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for (const [path, file] of await openZip(blobReader("a.zip", new Blob([bytes]))))
    files[path] = await file.read(0, file.size);
  return files;
}

/** Written as a stream: sizes and checksums follow the content. */
function streamed(): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const archive = new Zip((_, piece) => pieces.push(piece as Uint8Array<ArrayBuffer>));
  for (const [path, bytes] of Object.entries(FILES)) {
    const file = path.endsWith("csv") ? new ZipDeflate(path) : new ZipPassThrough(path);
    archive.add(file);
    file.push(bytes, true);
  }
  archive.end();
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

test("files are written in pieces, and read by another program and here", async () => {
  const inPieces = Object.entries(FILES).map(([path, bytes]) => {
    const pieces = async function* () {
      yield bytes.subarray(0, 1000);
      yield bytes.subarray(1000);
    };
    return [path, pieces()] as const;
  });
  const written = await bytesOf(await zip(inPieces));
  assert.equal(unzipSync(written), FILES);
  assert.equal(await read(written), FILES);
});

test("another program's files are read: compressed, stored, as a stream, with a comment", async () => {
  for (const level of [0, 6] as const) assert.equal(await read(zipSync(FILES, { level, comment: "made up" })), FILES);
  assert.equal(await read(streamed()), FILES);
  const commented = zipSync(FILES) as Uint8Array<ArrayBuffer>;
  commented[commented.length - 2] = 5;
  assert.equal(await read(await bytesOf(new Blob([commented, "hello"]))), FILES);
  assert.equal(await read(zipSync({})), {});
});

test("a file that is damaged is refused", async () => {
  const good = zipSync(FILES, { mtime: "2020-01-01" }) as Uint8Array<ArrayBuffer>;
  const refused = (bytes: Uint8Array<ArrayBuffer>, ...words: string[]) =>
    assertFails("damaged-archive", ["a.zip", ...words], () => read(bytes));
  await refused(utf8("no zip"));
  await refused(good.slice(0, -30));
  // What the directory says of the first file, which is deflated: another place, size, length, and kind.
  const said = directoryOf(good);
  for (const [field, value] of [
    [42, 1],
    [24, 98_999],
    [24, 99_001],
    [20, 40],
    [20, good.length],
    [8, 0x801 | (8 << 16)],
    [10, 12],
  ] as const) {
    const wrong = good.slice();
    new DataView(wrong.buffer).setUint32(said + field, value, true);
    await refused(wrong, "Zürich");
  }
});

/** Where the directory of a zip file without a comment begins. */
const directoryOf = (bytes: Uint8Array<ArrayBuffer>) => new DataView(bytes.buffer).getUint32(bytes.length - 6, true);

test("paths that leave the folder, or are there twice, and too many bytes are refused before a file is read", async () => {
  const open = (files: Record<string, Uint8Array>, change: (bytes: Uint8Array<ArrayBuffer>) => void = () => {}) => {
    const bytes = zipSync(files) as Uint8Array<ArrayBuffer>;
    change(bytes);
    return openZip(blobReader("a.zip", new Blob([bytes])));
  };
  const one = new Uint8Array(1);
  for (const path of ["../x", "a/../../x", "/x", "..\\x", "\\x", "C:\\x", "c:x", "a/..", "x\0"])
    await assertFails("damaged-archive", ["a.zip", "leaves it"], () => open({ "b/y": one, [path]: one }));
  for (const path of ["./x", ".\\x"])
    await assertFails("damaged-archive", ["x twice"], () => open({ x: one, [path]: one }));
  assert.equal([...(await open({ "./a//x": one, "a\\y": one, "b/": new Uint8Array() })).keys()], ["a/x", "a/y"]);
  const says = (size: number) => (bytes: Uint8Array<ArrayBuffer>) =>
    new DataView(bytes.buffer).setUint32(directoryOf(bytes) + 24, size, true);
  await open({ x: one, y: one }, says(LIMITS.archive - 1));
  await assertFails("exceeds-limit", ["a.zip", `at most ${LIMITS.archive} bytes`], () =>
    open({ x: one, y: one }, says(LIMITS.archive)),
  );
});

test("a file is unpacked when it is read, to as many bytes as the directory says, and the directory is read once", async () => {
  const many = Array.from({ length: 5000 }, (_, i) => [`${i}`, new Uint8Array()] as const);
  const bytes = zipSync({ ...Object.fromEntries(many), zeros: new Uint8Array(64 << 20) }) as Uint8Array<ArrayBuffer>;
  const last = bytes.length - 22 - 46 - "zeros".length;
  new DataView(bytes.buffer).setUint32(last + 24, 10, true);
  const asked: [at: number, length: number][] = [];
  const archive = blobReader("a.zip", new Blob([bytes]));
  const files = await openZip({
    ...archive,
    read: (...part) => {
      asked.push(part);
      return archive.read(...part);
    },
  });
  assert.is(files.size, 5001);
  assert.is(asked.length, 2);
  await assertFails("damaged-archive", ["a.zip/zeros", "10 bytes"], () => files.get("zeros")!.read(0, 10));
});

test("while a stranger's zip file is open, other files keep their names, and after it a host's are registered", async () => {
  const meta = testMeta();
  const { files } = await adapterFiles({ meta, tensors: drawTensors(meta) });
  registerFile("bs/config.json", new Blob(["{}"]));
  registerFile("stranger.zip", await zip([...files, ["../bs/config.json", "[]"]]));
  await assertFails("damaged-archive", ["stranger.zip", "../bs/config.json"], () =>
    atAdapter("stranger.zip", async () => assert.unreachable()),
  );
  registerFile("stranger.zip", await zip(files));
  await atAdapter("stranger.zip", async (directory) => registerFile(`${directory}/lowrank.json`, new Blob(["mine"])));
  assert.equal(registeredPaths("bs"), ["bs/config.json"]);
  assert.equal(registeredPaths("stranger.zip"), ["stranger.zip", "stranger.zip/lowrank.json"]);
  for (const path of registeredPaths()) forgetFile(path);
});

async function readFrom(name: string, archive: Blob) {
  registerFile(name, archive);
  return atAdapter(name, (directory) => readAdapter(directory));
}

test("an adapter is read from a zip file: alone, in a run, in a folder; a zip file without one says what it has", async () => {
  for (const meta of [testMeta(), testMeta({}, modeMeta("bitfit"))]) {
    const adapter = { meta, tensors: drawTensors(meta) };
    const { files } = await adapterFiles(adapter);
    const inRun = [...files].map(([name, content]) => [`my run/adapter/${name}`, content] as const);
    for (const archive of [await zip(files), await zip([["my run/run.json", "{}"], ...inRun])])
      assert.equal(await readFrom("mine.zip", archive), adapter);
  }
  await assertFails("not-an-adapter", ["other.zip", "run"], () =>
    readFrom("other.zip", new Blob([zipSync(FILES) as Uint8Array<ArrayBuffer>])),
  );
  await assertFails("damaged-archive", ["bad.zip"], () => readFrom("bad.zip", new Blob(["no zip"])));
  assert.equal(registeredPaths(), ["mine.zip", "other.zip", "bad.zip"]);
});
