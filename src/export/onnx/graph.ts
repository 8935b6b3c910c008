/**
 * A model in ONNX's form: a graph of operators over named values. Weights lie in a file of their own, one behind the
 * other, so that they can be written in chunks: protobuf wants a message's size first, and at most 2 GB.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from "onnx-buf";
import type { WeightDtype } from "../../config.ts";
import type { ComputedTensor } from "../../io/safetensors-write.ts";
import { numel } from "../../tensor.ts";
import { type Kind, type Stored, storeWeight } from "./weights.ts";

/** The versions of the format and of the standard operators: the first with all that is used here. */
const IR_VERSION = 10n;
const OPSET = 21n;

/** The bytes of an element of a stored weight. */
const BYTES: Partial<Record<DataType, number>> = { [DataType.FLOAT]: 4, [DataType.FLOAT16]: 2, [DataType.INT8]: 1 };

/** An int, a float, a text, or a list of ints. */
type Attribute = bigint | number | string | readonly number[];

/** The dimensions of an input or output; those that have no fixed size have a name. */
type Dimensions = readonly (number | string)[];

const bigints = (values: readonly number[]) => values.map(BigInt);

function encodeAttribute(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === "bigint") return { name, type: AttributeType.INT, i: value };
  if (typeof value === "number") return { name, type: AttributeType.FLOAT, f: value };
  if (typeof value === "string") return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  return { name, type: AttributeType.INTS, ints: bigints(value) };
}

/** A graph in the making. Values are known by their names, which are those of our tensors where there is one. */
export class Graph {
  private readonly nodes: MessageInitShape<typeof NodeProtoSchema>[] = [];
  private readonly inputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = [];
  private readonly outputs: MessageInitShape<typeof ValueInfoProtoSchema>[] = [];
  private readonly constants = new Map<string, MessageInitShape<typeof TensorProtoSchema>>();
  /** The weights that are used, in the order of their file. */
  private readonly stored = new Map<string, Stored>();
  /** The values of whole weights in f32. */
  private readonly values = new Map<string, string>();

  /** `tensors`: the model's weights; `dtype`: the type in which matrices are stored. */
  constructor(
    private readonly tensors: ReadonlyMap<string, ComputedTensor>,
    private readonly dtype: WeightDtype,
  ) {}

  input(name: string, elemType: DataType, dimensions: Dimensions): string {
    this.inputs.push(describeValue(name, elemType, dimensions));
    return name;
  }

  /** Makes a value, which has this name, an output of floats. */
  output(name: string, dimensions: Dimensions): void {
    this.outputs.push(describeValue(name, DataType.FLOAT, dimensions));
  }

  /** Adds a node. Returns the name of its output, which is the node's. */
  readonly add = (
    name: string,
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): string => this.addAll([name], op, inputs, attributes)[0]!;

  /** Adds a node with several outputs. */
  addAll<Names extends readonly string[]>(
    outputs: Names,
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): Names {
    this.nodes.push({
      name: outputs[0]!,
      opType,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([name, value]) => encodeAttribute(name, value)),
    });
    return outputs;
  }

  /** A list of ints as a value. */
  ints(...values: number[]): string {
    return this.constant(`ints ${values.join(" ")}`, {
      dataType: DataType.INT64,
      dims: [BigInt(values.length)],
      int64Data: bigints(values),
    });
  }

  /** An int as a value. */
  int(value: number): string {
    return this.constant(`int ${value}`, { dataType: DataType.INT64, int64Data: [BigInt(value)] });
  }

  /** A float as a value. */
  float(value: number): string {
    return this.constant(`float ${value}`, { dataType: DataType.FLOAT, floatData: [value] });
  }

  /** A table of floats as a value, which does not lie in the weights' file. */
  table(name: string, rows: number, data: Float32Array): string {
    const rawData = new Uint8Array(data.slice().buffer);
    const dims = bigints([rows, data.length / rows]);
    return this.constant(name, { dataType: DataType.FLOAT, dims, rawData });
  }

  private constant(name: string, init: MessageInitShape<typeof TensorProtoSchema>): string {
    this.constants.set(name, { name, ...init });
    return name;
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /** A weight in f32, whatever type it is stored in. */
  weight(name: string, kind: Kind = "other"): string {
    const value = this.values.get(name) ?? this.store(name, kind).restore(this.add);
    this.values.set(name, value);
    return value;
  }

  /** The rows `ids` of a table in f32. */
  gather(name: string, table: string, ids: string): string {
    return this.store(table, "rows").restore(this.add, { name, ids });
  }

  private store(name: string, kind: Kind): Stored {
    const stored = this.stored.get(name) ?? storeWeight(this.tensors.get(name)!, this.dtype, kind);
    this.stored.set(name, stored);
    return stored;
  }

  /** The bytes of the model, whose weights are in the file `location` beside it. */
  encode(name: string, location: string): Uint8Array {
    let offset = 0;
    const weights = this.parts().map(({ name, type, shape, length }): MessageInitShape<typeof TensorProtoSchema> => {
      const place = { location, offset, length };
      offset += length;
      return {
        name,
        dataType: type,
        dims: bigints(shape),
        dataLocation: DataLocation.EXTERNAL,
        externalData: Object.entries(place).map(([key, value]) => ({ key, value: String(value) })),
      };
    });
    const model = create(ModelProtoSchema, {
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
    return toBinary(ModelProtoSchema, model);
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

  /** The bytes of the weights' file. */
  async *data(): AsyncGenerator<Uint8Array> {
    for (const { bytes } of this.stored.values()) yield* bytes();
  }
}

function describeValue(
  name: string,
  elemType: DataType,
  dimensions: Dimensions,
): MessageInitShape<typeof ValueInfoProtoSchema> {
  const dim = dimensions.map((size) => ({
    value:
      typeof size === "number"
        ? ({ case: "dimValue", value: BigInt(size) } as const)
        : ({ case: "dimParam", value: size } as const),
  }));
  return { name, type: { value: { case: "tensorType", value: { elemType, shape: { dim } } } } };
}
