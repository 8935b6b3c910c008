/** A model in a GGUF file, in the form of transformers: its config.json, and its tensors by their names there. */
import { openFile } from "#platform";
import type { ModelConfig } from "../../core/config.ts";
import { numel } from "../../core/tensor.ts";
import type { FileReader } from "../../platform/reader.ts";
import { parseModelConfig } from "../common.ts";
import { turned } from "../parts.ts";
import { TensorFile } from "../safetensors/tensor-file.ts";
import { readGgufVocabulary } from "../tokenizer/tokenizer-gguf.ts";
import { checkSize } from "../tokenizer/vocabulary.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./gguf.ts";
import { type Architecture, findArchitecture } from "./gguf-architectures.ts";
import { makeConfig, ROPE_FREQS } from "./gguf-config.ts";
import { interleavedRow } from "./gguf-rope.ts";

/** The header of a file: its metadata, and the model's config.json. Throws as `openGguf`. */
export async function describeGguf(reader: FileReader, path: string) {
  const header = await readGgufHeader(reader);
  const [name, architecture] = findArchitecture(header, path);
  const file = new GgufFile(reader, header.dataStart, header.tensors);
  const json = await makeConfig({ name, architecture, header, file, where: path });
  return { header, metadata: header.metadata, architecture, json };
}

/**
 * Opens a model's config, vocabulary and tensors. Throws FormatError for a damaged file, ConfigError for a model that
 * is not supported.
 */
export async function openGguf(path: string) {
  const reader = await openFile(path);
  try {
    const { header, metadata, architecture, json } = await describeGguf(reader, path);
    const config = await parseModelConfig(json, path);
    const vocabulary = await readGgufVocabulary(metadata, path);
    checkSize(vocabulary, config, path);
    const arranged = new GgufFile(reader, header.dataStart, arrange(header, architecture, config));
    const files = new Map(arranged.names.map((name) => [name, arranged]));
    const tensors = { where: path, files, close: () => reader.close() };
    return { json, config, vocabulary, tensors };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** A tensor that may be stored in another order than transformers has it in. */
interface Arranged extends GgufTensor {
  /** Queries or keys of this many heads, with their rows in the order of interleaved rotary positions. */
  heads?: number;
  /** Stored as [out, in]. */
  isTurned?: boolean;
}

/** The tensors by transformers' names. */
function arrange(
  { tensors }: GgufHeader,
  { outside, blocks, inBlock, turned = [], isInterleaved }: Architecture,
  { n_head, n_kv_head = n_head }: ModelConfig,
): Map<string, Arranged> {
  const heads: Record<string, number> = isInterleaved ? { attn_q: n_head, attn_k: n_kv_head } : {};
  const arranged = [...tensors].flatMap(([key, tensor]): [string, Arranged][] => {
    // The config has what it says.
    if (key === ROPE_FREQS) return [];
    const [, block, layer = "", part] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(key) ?? [];
    const names = block === undefined ? outside : inBlock;
    // A tensor that the architecture does not have keeps its name, by which it is reported.
    if (!Object.hasOwn(names, layer)) return [[key, tensor]];
    const isTurned = part === "weight" && turned.includes(layer);
    const shape = isTurned ? [...tensor.shape].reverse() : tensor.shape;
    const order = heads[layer] === undefined ? { isTurned } : { isTurned, heads: heads[layer] };
    const place = block === undefined ? "" : `${blocks}.${block}.`;
    return [[`${place}${names[layer]}.${part}`, { ...tensor, shape, ...order }]];
  });
  return new Map(arranged);
}

/** The tensors of a GGUF file in transformers' order. */
class GgufFile extends TensorFile<Arranged> {
  /** A matrix that was turned, until its last rows are read: each part of it needs all of what is stored. */
  private last: { name: string; values: Float32Array<ArrayBuffer> } | undefined;

  override async readF32(name: string, start?: number, end?: number): Promise<Float32Array<ArrayBuffer>> {
    const { type, shape, heads, isTurned } = this.info(name);
    const [first, last] = this.checkedRows(name, start, end);
    const width = numel(shape.slice(1));
    if (isTurned) {
      const values = await this.turned(name);
      if (last === shape[0]) this.last = undefined;
      return values.slice(first * width, last * width);
    }
    if (heads === undefined) return type.decode(await this.readRows(name, first, last));
    const size = shape[0]! / heads;
    const from = Math.floor(first / size) * size;
    const stored = type.decode(await this.readRows(name, from, Math.ceil(last / size) * size));
    const values = new Float32Array((last - first) * width);
    for (let row = first; row < last; row++) {
      const at = interleavedRow(row, size) - from;
      values.set(stored.subarray(at * width, (at + 1) * width), (row - first) * width);
    }
    return values;
  }

  private async turned(name: string): Promise<Float32Array<ArrayBuffer>> {
    if (this.last?.name === name) return this.last.values;
    this.last = undefined;
    const { type, shape } = this.info(name);
    const [inputs, outputs] = shape as [number, number];
    const values = turned(type.decode(await this.readRows(name)), [outputs, inputs], 0, inputs);
    this.last = { name, values };
    return values;
  }
}
