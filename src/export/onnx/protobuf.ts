/**
 * ONNX's messages in protobuf's encoding, by tables of the fields that are written here: protobuf.dev,
 * "Encoding", and onnx.proto.
 */
import { Builder } from "../../io/gguf/builder.ts";

/** An int or enum, a float, a text, bytes, or a message: its fields. */
type Type = "int" | "float" | "text" | "bytes" | Fields;
/** The number and the type of each field, in the order of the numbers. */
export interface Fields {
  readonly [name: string]: readonly [number: number, type: Type];
}

type Value<T> = T extends "int"
  ? number | bigint
  : T extends "float"
    ? number
    : T extends "text"
      ? string
      : T extends "bytes"
        ? Uint8Array
        : T extends Fields
          ? Message<T>
          : never;
/** A repeated field is a list. */
export type Message<F extends Fields> = {
  readonly [Name in keyof F]?: Value<F[Name][1]> | readonly Value<F[Name][1]>[];
};

export function encodeMessage<F extends Fields>(fields: F, message: Message<F>): Uint8Array {
  const out = new Builder();
  for (const [name, [number, type]] of Object.entries(fields))
    for (const value of [message[name] ?? []].flat()) putField(out, number, type, value);
  return out.done();
}

function putField(out: Builder, number: number, type: Type, value: unknown): void {
  const tag = (wireType: number) => putVarint(out, (number << 3) | wireType);
  if (type === "int") {
    tag(0);
    putVarint(out, value as number | bigint);
  } else if (type === "float") {
    tag(5);
    out.f32(value as number);
  } else {
    tag(2);
    const bytes =
      type === "text"
        ? new TextEncoder().encode(value as string)
        : type === "bytes"
          ? (value as Uint8Array)
          : encodeMessage(type, value as Message<Fields>);
    putVarint(out, bytes.length);
    out.raw(bytes);
  }
}

/** Seven bits a byte, the lowest first; a negative int has 64 bits. */
function putVarint(out: Builder, value: number | bigint): void {
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) out.u8(Number(rest & 0x7fn) | 0x80);
  out.u8(Number(rest));
}

/** TensorProto.DataType. */
export const DATA_TYPE = { FLOAT: 1, INT8: 3, INT32: 6, INT64: 7, BOOL: 9, FLOAT16: 10 } as const;
export type DataType = (typeof DATA_TYPE)[keyof typeof DATA_TYPE];
/** AttributeProto.AttributeType. */
export const ATTRIBUTE_TYPE = { FLOAT: 1, INT: 2, STRING: 3, INTS: 7 } as const;
/** TensorProto.DataLocation. */
export const EXTERNAL = 1;

export const ATTRIBUTE = {
  name: [1, "text"],
  f: [2, "float"],
  i: [3, "int"],
  s: [4, "bytes"],
  ints: [8, "int"],
  type: [20, "int"],
} as const satisfies Fields;

export const NODE = {
  input: [1, "text"],
  output: [2, "text"],
  name: [3, "text"],
  opType: [4, "text"],
  attribute: [5, ATTRIBUTE],
} as const satisfies Fields;

export const TENSOR = {
  dims: [1, "int"],
  dataType: [2, "int"],
  name: [8, "text"],
  rawData: [9, "bytes"],
  externalData: [13, { key: [1, "text"], value: [2, "text"] }],
  dataLocation: [14, "int"],
} as const satisfies Fields;

const DIMENSION = { dimValue: [1, "int"], dimParam: [2, "text"] } as const satisfies Fields;
const TENSOR_TYPE = { elemType: [1, "int"], shape: [2, { dim: [1, DIMENSION] }] } as const satisfies Fields;
export const VALUE_INFO = { name: [1, "text"], type: [2, { tensorType: [1, TENSOR_TYPE] }] } as const satisfies Fields;

const GRAPH = {
  node: [1, NODE],
  name: [2, "text"],
  initializer: [5, TENSOR],
  input: [11, VALUE_INFO],
  output: [12, VALUE_INFO],
} as const satisfies Fields;

export const MODEL = {
  irVersion: [1, "int"],
  producerName: [2, "text"],
  graph: [7, GRAPH],
  opsetImport: [8, { version: [2, "int"] }],
} as const satisfies Fields;
