/** Vectors in a file, a row each: an array of numpy's, or CSV or Parquet with the texts beside them. */
import { parseChoice } from "../../core/checks.ts";
import { concat } from "../../core/concat.ts";
import { csvLine } from "../../io/csv.ts";

/** Some rows, in order. */
type Piece = readonly { text: string; vector: Float32Array<ArrayBuffer> }[];
/** `shape`: rows and numbers of a vector. */
type Write = (pieces: AsyncIterable<Piece>, shape: [number, number]) => AsyncGenerator<Uint8Array<ArrayBuffer>>;

const encode = (text: string) => new TextEncoder().encode(text);

/** Version 1.0 of numpy's format: a header in ASCII, filled up so that the numbers begin at a multiple of 64. */
const npy: Write = async function* (pieces, shape) {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const length = Math.ceil((header.length + 11) / 64) * 64 - 10;
  const start = [0x93, ...encode("NUMPY"), 1, 0, length & 255, length >> 8];
  yield concat(Uint8Array, [start, encode(`${header.padEnd(length - 1)}\n`)]);
  for await (const rows of pieces) for (const { vector } of rows) yield new Uint8Array(vector.buffer);
};

/** The fewest digits that a float32 can be read back from. */
const shortest = (value: number) => Number(value.toPrecision(9));

const csv: Write = async function* (pieces, [, size]) {
  yield encode(csvLine(["text", ...Array(size).keys()]));
  for await (const rows of pieces)
    yield encode(rows.map(({ text, vector }) => csvLine([text, ...Array.from(vector, shortest)])).join(""));
};

/** A row group for each piece. Nothing makes numbers without a pattern shorter. */
const parquet: Write = async function* (pieces) {
  // Imported on demand: other formats do without the package.
  const { ByteWriter, ParquetWriter } = await import("hyparquet-writer");
  const writer = new ByteWriter();
  const schema = [
    { name: "root", num_children: 2 },
    { name: "text", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
    { name: "vector", converted_type: "LIST", num_children: 1, repetition_type: "REQUIRED" },
    { name: "list", num_children: 1, repetition_type: "REPEATED" },
    { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
  ] as const;
  const file = new ParquetWriter({ writer, schema: [...schema] });
  const plain = { name: "vector", codec: "UNCOMPRESSED", encoding: "PLAIN", statistics: false } as const;
  for await (const rows of pieces) {
    const [texts, vectors] = [rows.map(({ text }) => text), rows.map(({ vector }) => [...vector])];
    file.write({
      columnData: [
        { name: "text", data: texts },
        { ...plain, data: vectors },
      ],
    });
    yield new Uint8Array(writer.getBuffer());
    writer.index = 0;
  }
  file.finish();
  yield new Uint8Array(writer.getBuffer());
};

const FORMATS = { npy, csv, parquet };

/** The writer of a file of this name. Throws ConfigError if its ending is that of no format. */
export function vectorWriter(path: string): Write {
  const ending = path.toLowerCase().replace(/.*\./s, "");
  return FORMATS[parseChoice("format of vectors", ending, Object.keys(FORMATS) as (keyof typeof FORMATS)[], path)];
}
