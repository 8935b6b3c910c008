/**
 * How weights are stored: in f32, in half precision, or in 8 bits (src/blocks.ts: the numbers of GGUF's Q8_0). The
 * graph makes f32 of them again, which a runtime does once, when it loads a model: all types compute alike, and half
 * and 8 bits are for smaller files.
 */
import { TensorProto_DataType as DataType } from "onnx-buf";
import { BLOCKS, layoutBlocks } from "../../blocks.ts";
import type { WeightDtype } from "../../config.ts";
import { type ComputedTensor, collect, halved, viewBytes } from "../../io/safetensors-write.ts";
import { Quantizer, quantizeMatrix } from "../../quantize.ts";
import type { Shape } from "../../tensor.ts";
import type { Graph } from "./graph.ts";

/** A tensor in the weights' file. */
interface StoredPart {
  name: string;
  type: DataType;
  shape: Shape;
}

/** A weight as it is stored. */
export interface Stored {
  parts: StoredPart[];
  /** The bytes of the parts, one behind the other. */
  bytes(): AsyncIterable<Uint8Array>;
  /** Adds the nodes that make f32 of the parts; returns the value. */
  restore(graph: Graph): string;
}

/** What a weight is: a matrix [in, out], a table of rows of inputs, or what is never quantised. */
export type Kind = "matrix" | "rows" | "other";

export function storeWeight(tensor: ComputedTensor, dtype: WeightDtype, kind: Kind): Stored {
  if (dtype === "f16") return inHalf(tensor);
  return dtype === "q8" && kind !== "other" ? inEight(tensor, kind) : inFloat(tensor);
}

async function* viewAll(pieces: AsyncIterable<Float32Array | Uint16Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield viewBytes(piece);
}

function inFloat({ name, shape, pieces }: ComputedTensor): Stored {
  return { parts: [{ name, type: DataType.FLOAT, shape }], bytes: () => viewAll(pieces()), restore: () => name };
}

/** The number of a type as an attribute. */
const FLOAT = { to: BigInt(DataType.FLOAT) };

function inHalf(tensor: ComputedTensor): Stored {
  const { name, shape } = tensor;
  const half = `${name}.f16`;
  return {
    parts: [{ name: half, type: DataType.FLOAT16, shape }],
    bytes: () => viewAll(halved(tensor).pieces()),
    restore: (graph) => graph.add(name, "Cast", [half], FLOAT),
  };
}

const BLOCK = BLOCKS.q8;

/** As [out, in], so that a block is neighbouring inputs of one output: its codes and, behind all of them, its scale. */
function inEight(tensor: ComputedTensor, kind: "matrix" | "rows"): Stored {
  const { name } = tensor;
  const shape = kind === "matrix" ? tensor.shape.toReversed() : tensor.shape;
  const [outputs, inputs] = shape as [number, number];
  const [codes, scales] = [`${name}.codes`, `${name}.scales`];
  return {
    parts: [
      { name: codes, type: DataType.INT8, shape: [outputs, inputs / BLOCK, BLOCK] },
      { name: scales, type: DataType.FLOAT16, shape: [outputs, inputs / BLOCK, 1] },
    ],
    bytes: () => quantized(tensor, kind),
    // Not DequantizeLinear, which a runtime computes again in every run.
    restore: (graph) => {
      const floats = [codes, scales].map((part) => graph.add(`${part}.f32`, "Cast", [part], FLOAT));
      const product = graph.add(`${name}.blocks`, "Mul", floats);
      const isTurned = kind === "matrix";
      const rows = graph.add(isTurned ? `${name}.T` : name, "Reshape", [product, graph.ints(...shape)]);
      return isTurned ? graph.add(name, "Transpose", [rows], { perm: [1, 0] }) : rows;
    },
  };
}

/** The codes, then the scales. A matrix is quantised as a whole, a table by its rows. */
async function* quantized(tensor: ComputedTensor, kind: "matrix" | "rows"): AsyncGenerator<Uint8Array> {
  const { name, shape } = tensor;
  const [rows, columns] = shape as [number, number];
  const scales: Uint8Array[] = [];
  const split = (bytes: Uint8Array, size: number) => {
    scales.push(bytes.subarray(layoutBlocks("q8", size).scales, size + (2 * size) / BLOCK));
    return bytes.subarray(0, size);
  };
  if (kind === "matrix") {
    const values = await collect(tensor);
    yield split(quantizeMatrix(name, "q8", values, rows, columns), values.length);
  } else
    for await (const piece of tensor.pieces()) {
      const quantizer = new Quantizer(name, "q8", piece.length / columns, columns);
      const all = { output: 0, outputs: quantizer.outputs, input: 0, inputs: columns };
      quantizer.take(piece, { output: columns, input: 1 }, all);
      yield split(quantizer.finish(), piece.length);
    }
  yield* scales;
}
