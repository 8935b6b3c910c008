/**
 * A model in ONNX's form: a graph of operators over named values. Weights lie in a file of their own, one behind the
 * other, so that they can be written in chunks: protobuf wants a message's size first, and at most 2 GB.
 */

import { type CommonDtype, numel, type Shape } from "../../core/tensor.ts";
import { type ComputedTensor, viewBytes } from "../../io/safetensors/safetensors-write.ts";
import {
  type ATTRIBUTE,
  ATTRIBUTE_TYPE,
  DATA_TYPE,
  type DataType,
  EXTERNAL,
  encodeMessage,
  type Message,
  MODEL,
  type NODE,
  type TENSOR,
  type VALUE_INFO,
} from "./protobuf.ts";
import { type Stored, storeWeight, type WeightKind } from "./weights.ts";

/** The versions of the format and of the standard operators: the first with all that is used here. */
const IR_VERSION = 10;
const OPSET = 21;

/** The bytes of an element of a stored weight. */
const BYTES: Partial<Record<DataType, number>> = { [DATA_TYPE.FLOAT]: 4, [DATA_TYPE.FLOAT16]: 2, [DATA_TYPE.INT8]: 1 };

/** An int, a float, a text, or a list of ints. */
type Attribute = bigint | number | string | readonly number[];

/** The dimensions of an input or output; those that have no fixed size have a name. */
type Dimensions = readonly (number | string)[];

function describeAttribute(name: string, value: Attribute): Message<typeof ATTRIBUTE> {
  if (typeof value === "bigint") return { name, type: ATTRIBUTE_TYPE.INT, i: value };
  if (typeof value === "number") return { name, type: ATTRIBUTE_TYPE.FLOAT, f: value };
  if (typeof value === "string") return { name, type: ATTRIBUTE_TYPE.STRING, s: new TextEncoder().encode(value) };
  return { name, type: ATTRIBUTE_TYPE.INTS, ints: value };
}

/** A graph in the making. Values are known by their names, which are those of our tensors where there is one. */
export class Graph {
  private readonly nodes: Message<typeof NODE>[] = [];
  private readonly inputs: Message<typeof VALUE_INFO>[] = [];
  private readonly outputs: Message<typeof VALUE_INFO>[] = [];
  private readonly constants = new Map<string, Message<typeof TENSOR>>();
  /** The weights that are used, in the order of their file. */
  private readonly stored = new Map<string, Stored>();
  /** The values of whole weights in f32. */
  private readonly values = new Map<string, string>();

  /** `tensors`: the model's weights; `dtype`: the type in which matrices are stored. */
  constructor(
    private readonly tensors: ReadonlyMap<string, ComputedTensor>,
    private readonly dtype: CommonDtype,
  ) {}

  input(name: string, elemType: DataType, dimensions: Dimensions): string {
    this.inputs.push(describeValue(name, elemType, dimensions));
    return name;
  }

  /** Makes a value, which has this name, an output of floats. */
  output(name: string, dimensions: Dimensions): void {
    this.outputs.push(describeValue(name, DATA_TYPE.FLOAT, dimensions));
  }

  /** Adds a node. Returns the name of its output, which is the node's. */
  readonly add = (
    name: string,
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): string => this.addAll([name], op, inputs, attributes)[0]!;

  addAll<Names extends readonly string[]>(
    outputs: Names,
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): Names {
    this.nodes.push({
      name: outputs[0]!,
      opType,
      input: inputs,
      output: outputs,
      attribute: Object.entries(attributes).map(([name, value]) => describeAttribute(name, value)),
    });
    return outputs;
  }

  ints(...values: number[]): string {
    return this.constant(`ints ${values.join(" ")}`, DATA_TYPE.INT64, [values.length], int64s(values));
  }

  int(value: number): string {
    return this.constant(`int ${value}`, DATA_TYPE.INT64, [], int64s([value]));
  }

  float(value: number): string {
    return this.constant(`float ${value}`, DATA_TYPE.FLOAT, [], Float32Array.of(value));
  }

  /** A table of floats as a value, which does not lie in the weights' file. */
  table(name: string, rows: number, data: Float32Array): string {
    return this.constant(name, DATA_TYPE.FLOAT, [rows, data.length / rows], data);
  }

  private constant(name: string, dataType: DataType, dims: Shape, data: Float32Array | BigInt64Array): string {
    this.constants.set(name, { name, dataType, dims, rawData: viewBytes(data) });
    return name;
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** A weight in f32, whatever type it is stored in. */
  weight(name: string, kind: WeightKind = "other"): string {
    const value = this.values.get(name) ?? this.store(name, kind).restore(this.add);
    this.values.set(name, value);
    return value;
  }

  /** The rows `ids` of a table in f32. */
  gather(name: string, table: string, ids: string): string {
    return this.store(table, "rows").restore(this.add, { name, ids });
  }

  private store(name: string, kind: WeightKind): Stored {
    const stored = this.stored.get(name) ?? storeWeight(this.tensors.get(name)!, this.dtype, kind);
    this.stored.set(name, stored);
    return stored;
  }

  /** The bytes of the model, whose weights are in the file `location` next to it. */
  encode(name: string, location: string): Uint8Array {
    let offset = 0;
    const weights = this.parts().map(({ name, type, shape, length }): Message<typeof TENSOR> => {
      const place = { location, offset, length };
      offset += length;
      return {
        name,
        dataType: type,
        dims: shape,
        dataLocation: EXTERNAL,
        externalData: Object.entries(place).map(([key, value]) => ({ key, value: String(value) })),
      };
    });
    return encodeMessage(MODEL, {
      irVersion: IR_VERSION,
      producerName: "lowrank",
      opsetImport: [{ version: OPSET }],
      graph: {
        name,
        node: this.nodes,
        initializer: [...weights, ...this.constants.values()],
        input: this.inputs,
        output: this.outputs,
      },
    });
  }

  /** The tensors in the weights' file, with their bytes. */
  private parts() {
    const parts = [...this.stored.values()].flatMap(({ parts }) => parts);
    return parts.map((part) => ({ ...part, length: numel(part.shape) * BYTES[part.type]! }));
  }

  /** The size of the weights' file. */
  get dataBytes(): number {
    return this.parts().reduce((sum, { length }) => sum + length, 0);
  }

  async *data(): AsyncGenerator<Uint8Array> {
    for (const { bytes } of this.stored.values()) yield* bytes();
  }
}

function describeValue(name: string, elemType: DataType, dimensions: Dimensions): Message<typeof VALUE_INFO> {
  const dim = dimensions.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

const int64s = (values: readonly number[]) => BigInt64Array.from(values.map(BigInt));
