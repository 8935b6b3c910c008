/** Zip files: what is written is read by another program, and the other way round; damaged ones are refused. */
import { unzipSync, Zip, ZipDeflate, ZipPassThrough, zipSync } from "fflate";
import * as assert from "uvu/assert";
import { atAdapter } from "../../src/io/peft/open-adapter.ts";
import { packAdapter } from "../../src/io/peft/packed.ts";
import { readAdapter } from "../../src/io/peft/peft.ts";
import { adapterFiles } from "../../src/io/peft/peft-write.ts";
import { openZip, zip } from "../../src/io/zip.ts";
import { registeredPaths, registerFile } from "../../src/platform/files.ts";
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
  for (const [path, { size, open }] of await openZip(new Blob([bytes]), "a.zip")) {
    files[path] = await bytesOf(await open());
    assert.is(files[path].length, size);
  }
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
  const inPieces = Object.entries(FILES).map(
    ([path, bytes]) => [path, [bytes.subarray(0, 1000), bytes.subarray(1000)]] as const,
  );
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
});

async function readFrom(name: string, archive: Blob) {
  registerFile(name, archive);
  return atAdapter(name, (directory) => readAdapter(directory));
}

test("an adapter is read from a zip file: alone, in a run, in a folder; a zip file without one says what it has", async () => {
  for (const meta of [testMeta(), testMeta({}, modeMeta("bitfit"))]) {
    const adapter = { meta, tensors: drawTensors(meta) };
    const { files } = adapterFiles(adapter);
    const stored = Object.entries(unzipSync(await bytesOf(await packAdapter(files))));
    const inRun = stored.map(
      ([name, bytes]) => [`my run/adapter/${name}`, [bytes as Uint8Array<ArrayBuffer>]] as const,
    );
    for (const archive of [await packAdapter(files), await zip([["my run/run.json", [utf8("{}")]], ...inRun])])
      assert.equal(await readFrom("mine.zip", archive), adapter);
  }
  await assertFails("not-an-adapter", ["other.zip", "run"], () =>
    readFrom("other.zip", new Blob([zipSync(FILES) as Uint8Array<ArrayBuffer>])),
  );
  await assertFails("damaged-archive", ["bad.zip"], () => readFrom("bad.zip", new Blob(["no zip"])));
  assert.equal(registeredPaths(), ["mine.zip", "other.zip", "bad.zip"]);
});
