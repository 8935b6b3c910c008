/**
 * How weights are stored: in f32, in half precision, or in 8 bits (src/core/blocks.ts: the numbers of GGUF's Q8_0). The
 * graph has the operators that make f32 of them again. Those of half precision a runtime computes once, when it loads a
 * model. Those of 8 bits it computes in every run, or multiplies by the matrix as it is stored.
 */
import { BLOCKS, layoutBlocks } from "../../core/blocks.ts";
import { Quantizer, quantizeMatrix } from "../../core/quantize.ts";
import type { CommonDtype, Shape } from "../../core/tensor.ts";
import { collect } from "../../io/safetensors/collect.ts";
import { type ComputedTensor, halved, viewBytes } from "../../io/safetensors/safetensors-write.ts";
import { DATA_TYPE, type DataType } from "./protobuf.ts";

/** Adds a node to a graph; returns its output. */
type AddNode = (name: string, op: string, inputs: readonly string[], attributes?: Record<string, bigint>) => string;

/** A tensor in the weights' file. */
interface StoredPart {
  name: string;
  type: DataType;
  shape: Shape;
}

export interface Stored {
  parts: StoredPart[];
  /** The bytes of the parts, one behind the other. */
  bytes(): AsyncIterable<Uint8Array>;
  /** Adds the nodes that make f32 of the parts, or of some `rows` of them; returns the value. */
  restore(add: AddNode, rows?: { name: string; ids: string }): string;
}

/** The role of a weight: a matrix [in, out], a table of rows [rows, in], or one that is never quantised. */
export type WeightKind = "matrix" | "rows" | "other";

export function storeWeight(tensor: ComputedTensor, dtype: CommonDtype, kind: WeightKind): Stored {
  if (dtype === "f16") return inHalf(tensor);
  return dtype === "q8" && kind !== "other" ? inEight(tensor, kind) : inFloat(tensor);
}

async function* viewAll(pieces: AsyncIterable<Float32Array | Uint16Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield viewBytes(piece);
}

function inFloat({ name, shape, pieces }: ComputedTensor): Stored {
  return {
    parts: [{ name, type: DATA_TYPE.FLOAT, shape }],
    bytes: () => viewAll(pieces()),
    restore: (add, rows) => (rows ? add(rows.name, "Gather", [name, rows.ids]) : name),
  };
}

/** The number of a type as an attribute. */
const FLOAT = { to: BigInt(DATA_TYPE.FLOAT) };

function inHalf(tensor: ComputedTensor): Stored {
  const { name, shape } = tensor;
  const half = `${name}.f16`;
  return {
    parts: [{ name: half, type: DATA_TYPE.FLOAT16, shape }],
    bytes: () => viewAll(halved(tensor).pieces()),
    restore(add, rows) {
      const part = rows ? add(`${rows.name}.f16`, "Gather", [half, rows.ids]) : half;
      return add(rows?.name ?? name, "Cast", [part], FLOAT);
    },
  };
}

const BLOCK = BLOCKS.q8;

/** A code for each weight, and a scale for each block of neighbouring inputs. */
function inEight(tensor: ComputedTensor, kind: "matrix" | "rows"): Stored {
  const { name, shape } = tensor;
  const [rows, columns] = shape as [number, number];
  const isMatrix = kind === "matrix";
  const [codes, scales] = [`${name}.codes`, `${name}.scales`];
  return {
    parts: [
      { name: codes, type: DATA_TYPE.INT8, shape },
      { name: scales, type: DATA_TYPE.FLOAT16, shape: isMatrix ? [rows / BLOCK, columns] : [rows, columns / BLOCK] },
    ],
    bytes: () => (isMatrix ? quantizedMatrix(tensor) : quantizedRows(tensor)),
    restore(add, rows) {
      const read = (part: string, ending: string) =>
        rows ? add(`${rows.name}${ending}`, "Gather", [part, rows.ids]) : part;
      const half = read(scales, ".scales");
      const both = [read(codes, ".codes"), add(`${half}.f32`, "Cast", [half], FLOAT)];
      const how = { axis: isMatrix ? 0n : -1n, block_size: BigInt(BLOCK) };
      return add(rows?.name ?? name, "DequantizeLinear", both, how);
    },
  };
}

/** The codes of a matrix, then its scales, in its own order: the quantiser has [out, in]. */
async function* quantizedMatrix(tensor: ComputedTensor): AsyncGenerator<Uint8Array> {
  const [inputs, outputs] = tensor.shape as [number, number];
  const values = await collect(tensor);
  const { codes, scales } = split(quantizeMatrix(tensor.name, "q8", values, inputs, outputs), values.length);
  yield viewBytes(turned(codes, outputs, inputs));
  yield viewBytes(turned(scales, outputs, inputs / BLOCK));
}

/** The codes of a table, then its scales. Some rows are in memory at a time. */
async function* quantizedRows({ name, shape, pieces }: ComputedTensor): AsyncGenerator<Uint8Array> {
  const inputs = shape[1]!;
  const all: Uint16Array[] = [];
  for await (const piece of pieces()) {
    const outputs = piece.length / inputs;
    const quantizer = new Quantizer(name, "q8", outputs, inputs);
    quantizer.take(piece, { output: inputs, input: 1 }, { output: 0, outputs, input: 0, inputs });
    const { codes, scales } = split(quantizer.finish(), piece.length);
    all.push(scales);
    yield codes;
  }
  yield* all.map(viewBytes);
}

/** The parts of a quantised tensor of `size` weights. */
function split(bytes: Uint8Array, size: number): { codes: Uint8Array; scales: Uint16Array } {
  const { scales } = layoutBlocks("q8", size);
  return {
    codes: bytes.subarray(0, size),
    scales: new Uint16Array(bytes.slice(scales, scales + (2 * size) / BLOCK).buffer),
  };
}

/** [rows, columns] as [columns, rows]. */
function turned<A extends Uint8Array | Uint16Array>(values: A, rows: number, columns: number): A {
  const out = values.slice() as A;
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j]!;
  return out;
}
