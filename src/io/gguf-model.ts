/** A model in a GGUF file, in the form of transformers: its config.json, and its tensors by their names there. */
import { openFile } from "#platform";
import { numel } from "../tensor.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./gguf.ts";
import { type Architecture, findArchitecture } from "./gguf-architectures.ts";
import { makeConfig } from "./gguf-config.ts";
import { TensorFile, type TensorFiles } from "./tensor-file.ts";
import { readGgufVocabulary } from "./tokenizer-gguf.ts";
import type { Vocabulary } from "./vocabulary.ts";

export interface GgufModel {
  /** Its config.json. */
  json: Record<string, unknown> & { vocab_size: number };
  vocabulary: Vocabulary;
  tensors: TensorFiles;
}

/** Opens a model. Throws FormatError for a damaged file, ConfigError for a model that is not supported. */
export async function openGguf(path: string): Promise<GgufModel> {
  const reader = await openFile(path);
  try {
    const header = await readGgufHeader(reader);
    const [name, architecture] = findArchitecture(header, path);
    const stored = new GgufFile(reader, header.dataStart, header.tensors);
    const json = await makeConfig({ name, architecture, header, file: stored, where: path });
    const file = new GgufFile(reader, header.dataStart, arrange(header, architecture, json));
    const vocabulary = await readGgufVocabulary(header.metadata, path);
    return {
      json,
      vocabulary,
      tensors: { where: path, files: new Map(file.names.map((name) => [name, file])), close: () => file.close() },
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** A tensor that may be stored in another order than transformers has it in. */
export interface Arranged extends GgufTensor {
  /** Queries or keys of this many heads, with their rows in the order of interleaved rotary positions. */
  heads?: number;
  /** Stored as [out, in]. */
  isTurned?: boolean;
}

/** The tensors by transformers' names. */
export function arrange(
  { tensors }: GgufHeader,
  { outside, blocks, inBlock, turned = [], isInterleaved }: Architecture,
  json: Record<string, unknown>,
): Map<string, Arranged> {
  const heads: Record<string, unknown> = isInterleaved
    ? { attn_q: json.num_attention_heads, attn_k: json.num_key_value_heads }
    : {};
  const arranged = [...tensors].map(([key, tensor]): [string, Arranged] => {
    const [, block, layer = "", part] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(key) ?? [];
    const name = (block === undefined ? outside : inBlock)[layer];
    // A tensor that the architecture does not have keeps its name, by which it is reported.
    if (name === undefined) return [key, tensor];
    const isTurned = part === "weight" && turned.includes(layer);
    const shape = isTurned ? [...tensor.shape].reverse() : tensor.shape;
    const rows = heads[layer];
    const order = rows === undefined ? {} : { heads: rows as number };
    return [
      block === undefined ? `${name}.${part}` : `${blocks}.${block}.${name}.${part}`,
      { ...tensor, shape, isTurned, ...order },
    ];
  });
  return new Map(arranged);
}

/** The tensors of a GGUF file in transformers' order. */
export class GgufFile extends TensorFile<Arranged> {
  /** The last matrix that was turned: it is read in parts, and each needs all of what is stored. */
  private last: { name: string; values: Float32Array<ArrayBuffer> } | undefined;

  override async readF32(name: string, start?: number, end?: number): Promise<Float32Array<ArrayBuffer>> {
    const { type, shape, heads, isTurned } = this.info(name);
    const [first, last] = this.checkedRows(name, start, end);
    const width = numel(shape.slice(1));
    if (isTurned) return (await this.turned(name)).slice(first * width, last * width);
    if (heads === undefined) return type.decode(await this.readRows(name, first, last));
    const size = shape[0]! / heads;
    const from = Math.floor(first / size) * size;
    const stored = type.decode(await this.readRows(name, from, Math.ceil(last / size) * size));
    const values = new Float32Array((last - first) * width);
    for (let row = first; row < last; row++) {
      // Neighbouring rows are stored for what transformers has half a head apart.
      const inHead = row % size;
      const at = row - inHead + ((2 * inHead) % size) + Math.floor((2 * inHead) / size) - from;
      values.set(stored.subarray(at * width, (at + 1) * width), (row - first) * width);
    }
    return values;
  }

  /** The first row as it is stored. */
  override async sample(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const { type, shape, begin, end, isTurned } = this.info(name);
    if (!isTurned) return super.sample(name);
    return new Uint8Array(type.decode(await this.readData(begin, (end - begin) / shape[1]!)).buffer);
  }

  private async turned(name: string): Promise<Float32Array<ArrayBuffer>> {
    if (this.last?.name === name) return this.last.values;
    this.last = undefined;
    const { type, shape } = this.info(name);
    const [inputs, outputs] = shape as [number, number];
    const stored = type.decode(await this.readRows(name));
    const values = new Float32Array(stored.length);
    for (let output = 0; output < outputs; output++)
      for (let input = 0; input < inputs; input++) values[input * outputs + output] = stored[output * inputs + input]!;
    this.last = { name, values };
    return values;
  }
}
