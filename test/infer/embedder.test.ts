/** Vectors of texts: PyTorch's, each alone as with others, and as `embed FILE --out FILE` writes them. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import * as assert from "uvu/assert";
import { openDevice } from "../../src/backend/device.ts";
import { embedFile } from "../../src/commands/label.ts";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { Embedder } from "../../src/infer/embedder.ts";
import { openTable } from "../../src/infer/table/open-table.ts";
import type { TableRow } from "../../src/infer/table/table.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { relativeError } from "../helpers/allclose.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { PARQUET } from "../helpers/parquet.ts";
import { assertRelative, readBatch, withExpected } from "../helpers/peft-fixtures.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { encoderModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
/** Of float32, as that of logits. */
const TOLERANCE = 2e-6;

const encoder = (name: string) => encoderModel(at(name), name);

const wordsOf = (ids: Uint32Array) => Array.from(ids, (id) => `w${id}`).join(" ");

for (const name of ["bert", "roberta", "xlm-roberta"])
  testOnDevices(`${name}: the vectors of texts are PyTorch's, with the bits of each alone`, async () => {
    const directory = encoder(name);
    await withExpected(directory, async (file) => {
      const { ids, starts } = await readBatch(file);
      const texts = Array.from(starts.subarray(1), (end, i) => wordsOf(ids.subarray(starts[i], end)));
      const embedder = await Embedder.load({ device: await testDevice(), model: directory });
      const want = await file.readF32("vectors");
      const { size } = embedder;
      const vectors = await embedder.embed([...texts, " \n"]);
      assert.is(vectors.length, texts.length + 1);
      assert.equal([...vectors.pop()!], new Array(size).fill(0));
      for (const [i, vector] of vectors.entries()) {
        assertRelative(texts[i]!, vector, want.subarray(i * size, (i + 1) * size), TOLERANCE);
        const [alone] = await embedder.embed(texts[i]!);
        assertSameBits(texts[i]!, alone!, vector);
      }
      assert.equal(await embedder.embed([]), []);
      embedder.destroy();
    });
  });

test("pooling and prompt are those that a folder of sentence-transformers says", async () => {
  await using model = await openBaseModel(encoder("bert"));
  const device = await testDevice("wasm 1 thread");
  const embed = async (base: BaseModel, ...texts: string[]) => {
    const embedder = await Embedder.load({ device, model: base });
    const vectors = await embedder.embed(texts);
    embedder.destroy();
    return vectors;
  };
  const [one, two, three] = await embed(model, "w5", "w5 w6", "w3 w5 w6");
  const [first, other] = await embed({ ...model, pooling: "cls" }, "w5", "w5 w6");
  assertRelative("the first token of one", first!, one!, TOLERANCE);
  assert.ok(relativeError(other!, two!) > 0.1);
  const [prompted] = await embed({ ...model, vocabulary: { ...model.vocabulary, prompt: "w3 " } }, "w5 w6");
  assertSameBits("behind a prompt", prompted!, three!);
});

test("what is no text is refused, a call ends by its signal, and an open model stays open", async () => {
  await using model = await openBaseModel(encoder("bert"));
  const device = await testDevice("wasm 1 thread");
  const embedder = await Embedder.load({ device, model });
  for (const wrong of [[["w1", "w2"]], [1], null, undefined, Promise.resolve("w1")])
    await assertFails("invalid-argument", ["texts", "an array of strings"], () => embedder.embed(wrong as never));
  const reason = new Error("stopped");
  const stopped = await embedder.embed("w1", { signal: AbortSignal.abort(reason) }).catch((error) => error);
  assert.is(stopped, reason);
  embedder.destroy();
  await assertFails("already-destroyed", () => embedder.embed("w1"));
  await model.read("wte.weight");
  await assertFails("unknown-option", ["did you mean dtype?"], () => Embedder.load({ device, dtpye: "q8" } as never));
  await assertFails("no-such-model", () => Embedder.load({ device, model: "no-such-model" }));
});

const TEXTS = ["w3 w4, w5", 'w6 "w7"', "", "w8\nw9", "w3 w4, w5", "你好"];
const TABLE = `id,message\r\n${TEXTS.map((text, i) => `${i},"${text.replaceAll('"', '""')}"\r\n`).join("")}`;

/** The texts and the vectors of a file of `size` numbers a row; numpy's has no texts. */
async function readVectors(name: string, size: number): Promise<{ texts: string[]; vectors: Float32Array[] }> {
  const bytes = new Uint8Array(readFileSync(at(name)));
  if (name.endsWith(".parquet")) {
    const rows = await parquetReadObjects({ file: bytes.buffer });
    return { texts: rows.map(({ text }) => text), vectors: rows.map(({ vector }) => Float32Array.from(vector)) };
  }
  if (name.endsWith(".csv")) {
    const table = await openTable(at(name), { textColumn: "text" });
    const rows: TableRow[] = [];
    for await (const piece of table.rows()) rows.push(...piece.filter(({ text }) => text !== null));
    await table.close();
    const numbers = (row: Uint8Array) => new TextDecoder().decode(row).trimEnd().split(",").slice(-size).map(Number);
    return {
      texts: rows.map(({ text }) => text as string),
      vectors: rows.map((row) => Float32Array.from(numbers(row.bytes))),
    };
  }
  const [header = ""] = new TextDecoder("latin1").decode(bytes).split("\n");
  assert.is((header.length + 1) % 64, 0);
  assert.equal([...bytes.subarray(0, 8)], [0x93, ...Buffer.from("NUMPY"), 1, 0]);
  assert.is(bytes[8]! + 256 * bytes[9]!, header.length + 1 - 10);
  const shape = `{'descr': '<f4', 'fortran_order': False, 'shape': (${TEXTS.length}, ${size}), }`;
  assert.is(header.slice(10).trimEnd(), shape);
  const values = new Float32Array(bytes.slice(header.length + 1).buffer);
  assert.is(values.length, size * TEXTS.length);
  return { texts: TEXTS, vectors: TEXTS.map((_, i) => values.slice(i * size, (i + 1) * size)) };
}

test("embed writes a vector for each row, in order, as an array of numpy's, CSV and Parquet", async () => {
  const model = encoder("bert");
  const device = await openDevice("wasm", { threads: 1 });
  const embedder = await Embedder.load({ device, model });
  const want = await embedder.embed(TEXTS);
  device.destroy();
  writeFileSync(at("in.csv"), TABLE);
  for (const name of ["v.npy", "v.csv", "v.parquet"]) {
    const args = ["in.csv", "--model", model, "--device", "wasm", "--threads", "1", "--out", name];
    const finished = await runCommand("embed", args, { cwd: folder });
    assertCode(finished, 0);
    assert.match(finished.stderr, 'in.csv: 6 rows, texts in column "message"');
    assert.match(finished.stderr, /row 6\/6.*\n6 rows, .* rows\/s, on CPU/);
    assert.match(finished.stderr, `saved to ${name}, vectors of 48 numbers; those of 1 without a text are zeros`);
    assert.match(finished.stderr, "1 texts are mostly letters that no token of the base model has");
    const { texts, vectors } = await readVectors(name, embedder.size);
    assert.equal(texts, TEXTS, name);
    for (const [i, vector] of vectors.entries()) assertSameBits(`${name} ${i}`, vector, want[i]!);
  }
  // Of several pieces, the first of which may have the header alone.
  writeFileSync(at("in.parquet"), PARQUET);
  writeFileSync(at("long.csv"), `text\n${`${"w3 ".repeat(20)}w4\n`.repeat(600)}`);
  for (const [input, rows] of [
    ["in.parquet", 3],
    ["long.csv", 600],
  ] as const) {
    const flags = {
      model,
      device: "wasm",
      threads: 1,
      force: true,
      textColumn: input === "in.parquet" ? "message" : "text",
    } as const;
    await embedFile(at(input), { ...flags, out: at("v.parquet") });
    assert.is((await readVectors("v.parquet", embedder.size)).vectors.length, rows);
  }
});

test("embed refuses what cannot be read or written before any work, and leaves no file", async () => {
  writeFileSync(at("in.csv"), TABLE);
  writeFileSync(at("there.npy"), "mine");
  writeFileSync(at("columns.csv"), "id,words,more\n1,a,b\n");
  const before = readdirSync(folder).toSorted();
  for (const [line, code, ...words] of [
    ["in.csv there.npy", "output-exists", "force"],
    ["in.csv x.txt", "unknown-value", "npy, csv, parquet", '"txt"'],
    ["in.csv in.csv --force", "invalid-output", "the file that is read"],
    ["in.csv there.npy/x.npy", "invalid-output", "cannot be created"],
    ["columns.csv x.npy", "column-not-recognized", "id, words, more"],
    ["columns.csv x.npy words,more", "wrong-text-count", "single texts"],
    ["none.csv x.npy", "cannot-read-file", "no such file"],
  ] as [string, ErrorCode, ...string[]][]) {
    const [input, output, more] = line.split(" ");
    const columns = more && more !== "--force" ? { textColumn: more } : {};
    const flags = { device: "wasm", model: "no-such-model", force: more === "--force", ...columns } as const;
    await assertFails(code, words, () => embedFile(at(input!), { ...flags, out: at(output!) }));
  }
  assert.is(readFileSync(at("there.npy"), "utf8"), "mine");
  assert.equal(readdirSync(folder).toSorted(), before);
});
