/**
 * One HTML file that classifies on its own: the page of src/web/standalone, with the base model, the adapter, the
 * tokenizer's tables and the WASM in it. It is written in chunks, so that the model is never in memory.
 */
import { openFile, readAsset } from "#platform";
import { ConfigError } from "../errors.ts";
import { readPieces } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import { readModelFile, readModelJson } from "../io/model-file.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { adapterFiles } from "../io/peft/peft-write.ts";
import { halved, type StreamedTensor, streamedBytes, streamSafetensors } from "../io/safetensors/safetensors-write.ts";
import { TOKENIZER_FILES } from "../io/tokenizer/tokenizer-names.ts";
import { GPT2_TABLES } from "../io/tokenizer/vocabulary.ts";
import { baseShapes } from "../names.ts";
import type { TextOrPair } from "../pair.ts";
import { formatBytes } from "../plan/memory.ts";
import { isGguf } from "../platform/paths.ts";
import { htmlText, literal } from "../quote.ts";
import { numel } from "../tensor.ts";

/** The largest file. A browser keeps what it opens in memory, and Chromium has no text of more than 512 MB. */
const MOST_BYTES = 500e6;
/** Bytes in one element of the page: every browser handles base64 of this length. */
const BLOCK_BYTES = 3 << 20;
/** Elements of a weight that are in memory at a time. */
const PIECE_ELEMENTS = 1 << 20;

/** Where the template has the files, and the texts that a person reads. */
const FILES = "<!--files-->";

/** What the page says of the model. */
interface StandaloneTexts {
  title: string;
  summary: string;
  /** One or more messages, or pairs, to try. */
  examples: readonly TextOrPair[];
}

interface PageFile {
  path: string;
  bytes: number;
  read(): AsyncIterable<Uint8Array>;
}

export interface StandalonePage {
  /** Its exact size. */
  bytes: number;
  write(): AsyncGenerator<Uint8Array>;
}

/**
 * Plans the page for a classifier's adapter and its base model, whose matrices are stored in f16; a GGUF file
 * is stored as it is. `template` is the built page. Throws ConfigError if it would be too large.
 */
export async function planStandalone(
  template: string,
  texts: StandaloneTexts,
  adapter: Adapter,
  baseModel: BaseModel,
): Promise<StandalonePage> {
  const [before, after] = template.split(FILES) as [string, string];
  const words = { ...texts, examples: literal(texts.examples) };
  const head = encode(
    before.replace(/\{\{(title|summary|examples)\}\}/g, (_, key: keyof StandaloneTexts) => htmlText(words[key])),
  );
  const tail = encode(after);
  const parts = [...(await programFiles(baseModel)), ...(await modelFiles(baseModel))];
  const sum = () => parts.reduce((all, part) => all + bytesInPage(part), head.length + tail.length);
  // Tensors that do not fit are not encoded.
  const values = [...adapter.tensors.values()].reduce((all, { data }) => all + data.length, 0);
  checkBytes(sum() + (4 / 3) * Float32Array.BYTES_PER_ELEMENT * values);
  parts.push(...(await adapterParts(adapter)));
  const bytes = sum();
  checkBytes(bytes);
  return {
    bytes,
    async *write() {
      yield head;
      for (const { path, read } of parts) for await (const block of cutBlocks(read())) yield element(path, block);
      yield tail;
    },
  };
}

function checkBytes(bytes: number): void {
  if (bytes > MOST_BYTES)
    throw new ConfigError("exceeds-limit", "the page would be too large to open in a browser", {
      expected: `at most ${formatBytes(MOST_BYTES)}`,
      found: formatBytes(bytes),
      hint: "use the adapter with the library, or train a smaller model",
    });
}

const encode = (text: string) => new TextEncoder().encode(text);

const start = (path: string) => `<script type="text/plain" data-file="${htmlText(path)}">`;
const END = "</script>\n";

function element(path: string, block: Uint8Array): Uint8Array {
  return encode(start(path) + base64(block) + END);
}

function bytesInPage({ path, bytes }: PageFile): number {
  const markup = encode(start(path) + END).length;
  const [whole, rest] = [Math.floor(bytes / BLOCK_BYTES), bytes % BLOCK_BYTES];
  const text = (length: number) => markup + 4 * Math.ceil(length / 3);
  return whole * text(BLOCK_BYTES) + (rest > 0 || whole === 0 ? text(rest) : 0);
}

/** Characters that become one text at a time: more arguments could overflow the stack. A multiple of three. */
const CHARACTERS = 3 << 12;

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHARACTERS)
    text += btoa(String.fromCharCode(...bytes.subarray(at, at + CHARACTERS)));
  return text;
}

/** The bytes of a file in blocks of BLOCK_BYTES; the last is shorter. An empty file is one empty block. */
async function* cutBlocks(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(BLOCK_BYTES);
  let [length, count] = [0, 0];
  for await (const piece of pieces)
    for (let at = 0; at < piece.length; ) {
      const some = piece.subarray(at, at + BLOCK_BYTES - length);
      block.set(some, length);
      length += some.length;
      at += some.length;
      if (length < BLOCK_BYTES) continue;
      yield block;
      [length, count] = [0, count + 1];
    }
  if (length > 0 || count === 0) yield block.subarray(0, length);
}

function filePart(path: string, content: Uint8Array): PageFile {
  return {
    path,
    bytes: content.length,
    async *read() {
      yield content;
    },
  };
}

/** The WASM, and GPT-2's tables if the model has that vocabulary: files of dist/. */
async function programFiles({ vocabulary }: BaseModel): Promise<PageFile[]> {
  const names = ["tokenizer.wasm", "kernels.wasm", "kernels-relaxed.wasm", ...(vocabulary.tables ? [] : [GPT2_TABLES])];
  return Promise.all(names.map(async (name) => filePart(`dist/${name}`, await readAsset(name))));
}

/** A GGUF file, or the folder model/: what `openBaseModel` reads. */
async function modelFiles(baseModel: BaseModel): Promise<PageFile[]> {
  const { directory, vocabulary } = baseModel;
  if (isGguf(directory)) return [await partAt(directory, "model.gguf")];
  const tensors = halfTensors(baseModel);
  const weights = {
    path: "model/model.safetensors",
    bytes: streamedBytes(tensors),
    read: () => streamSafetensors(tensors),
  };
  const json = await readModelJson(directory, "config.json");
  const config = { ...json, tie_word_embeddings: baseModel.config.tie_word_embeddings };
  const settings = filePart("model/config.json", encode(JSON.stringify(config)));
  const tokenizer: PageFile[] = [];
  for (const name of vocabulary.tables ? TOKENIZER_FILES : []) {
    const content = await readModelFile(directory, name);
    if (content !== undefined) tokenizer.push(filePart(`model/${name}`, content));
  }
  return [settings, ...tokenizer, weights];
}

/** The base model's tensors, with f16 matrices. A language model's head is of no use to a classifier. */
function halfTensors(baseModel: BaseModel): StreamedTensor[] {
  const { config, names } = baseModel;
  const shapes = new Map(baseShapes(config));
  if (names.includes("score.weight")) shapes.set("score.weight", baseModel.shape("score.weight"));
  return [...shapes].map(([name, shape]) => {
    const rows = shape[0]!;
    const step = Math.max(1, Math.floor((PIECE_ELEMENTS * rows) / numel(shape)));
    async function* pieces() {
      for (let row = 0; row < rows; row += step) yield await baseModel.read(name, row, Math.min(rows, row + step));
    }
    const tensor = { name, shape, dtype: "F32", pieces } as const;
    return shape.length > 1 ? halved(tensor) : tensor;
  });
}

/** The files of an adapter. Rounded to f16, the base model is not the one whose fingerprint its description has. */
async function adapterParts({ meta: { base_fingerprint: _, ...meta }, tensors }: Adapter): Promise<PageFile[]> {
  const { files } = await adapterFiles({ meta, tensors });
  return [...files].map(([name, content]) =>
    filePart(`adapter/${name}`, typeof content === "string" ? encode(content) : content),
  );
}

async function partAt(file: string, path: string): Promise<PageFile> {
  const opened = await openFile(file);
  const { size: bytes } = opened;
  await opened.close();
  return { path, bytes, read: () => readPieces(file) };
}
