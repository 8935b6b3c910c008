/** --to page: one HTML file that classifies on its own, with messages to click. */
import { openFile, packagePath, readAsset, readBytes } from "#platform";
import { architectureName, isEncoder } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { formatCount } from "../core/format.ts";
import { baseShapes } from "../core/names.ts";
import { joinPair, readsPairs, type TextOrPair } from "../core/pair.ts";
import { htmlText, literal, nameFile } from "../core/quote.ts";
import { numel } from "../core/tensor.ts";
import { readPieces } from "../io/common.ts";
import type { BaseModel } from "../io/hf.ts";
import { readModelFile, readModelJson } from "../io/model-file.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { adapterFiles } from "../io/peft/peft-write.ts";
import { halved, type StreamedTensor, streamedBytes, streamSafetensors } from "../io/safetensors/safetensors-write.ts";
import { TOKENIZER_FILES } from "../io/tokenizer/tokenizer-names.ts";
import { GPT2_TABLES } from "../io/tokenizer/vocabulary.ts";
import { formatBytes } from "../plan/memory.ts";
import { isGguf } from "../platform/paths.ts";
import { dataName, type RunRecord } from "../record/record.ts";
import { hasHead } from "../tasks/index.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { WORDS } from "../tasks/words.ts";
import { type PlanForm, sized } from "./form.ts";
import { baseLabel } from "./peft-code.ts";
import { pageQuestion, trainedTitle } from "./usage.ts";

/** The largest file. A browser keeps what it opens in memory, and Chromium has no text of more than 512 MB. */
const MOST_BYTES = 500e6;
/** Bytes in one element of the page: every browser handles base64 of this length. */
const BLOCK_BYTES = 3 << 20;
/** Elements of a weight that are in memory at a time. */
const PIECE_ELEMENTS = 1 << 20;

/** Where the template has the files, and the texts that a person reads. */
const FILES = "<!--files-->";

/** The page's description of the model. */
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

interface StandalonePage {
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
      const part = piece.subarray(at, at + BLOCK_BYTES - length);
      block.set(part, length);
      length += part.length;
      at += part.length;
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
async function adapterParts({ meta: { base_fingerprint: _, ...meta }, ...adapter }: Adapter): Promise<PageFile[]> {
  const { files } = await adapterFiles({ ...adapter, meta });
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

/** The built page, without a model. */
export const TEMPLATE = "dist/standalone.html";
/** The file's name, behind the name of the data. */
export const PAGE = "classifier.html";

/** Messages to click. */
const EXAMPLES = 6;

export const plan: PlanForm = async ({ adapter, baseModel, base, record }, { title }) => {
  const { meta } = adapter;
  if (!hasHead(meta.task))
    throw new ConfigError("not-expressible-in-format", "a page of one file classifies", {
      ...{ found: "a model that writes texts", hint: "use --to gguf or onnx" },
    });
  if (isEncoder(meta.model) && !isGguf(baseModel.directory))
    throw new ConfigError("not-expressible-in-format", "a page of one file has encoders of GGUF files alone", {
      ...{ found: baseModel.directory, hint: "train on e5-small-cut, which is bundled, or on a GGUF file" },
    });
  const template = new TextDecoder().decode(await readBytes(packagePath(TEMPLATE)));
  const named = trainedTitle({ meta, base });
  const result = record?.results ? ` ${WORDS[record.objective].headline(record, record.results)}.` : "";
  const examples = record ? testMessages(record) : [];
  const page = await planStandalone(
    template,
    {
      title: title?.trim() || pageQuestion(meta),
      summary: `${architectureName(meta.model)}, fine-tuned: ${named}.${result}`,
      examples: examples.length > 0 ? examples : [textToTry([], readsPairs(meta))],
    },
    // The owner's folders stay at home.
    { ...adapter, meta: { ...meta, base_model: baseLabel(base) } },
    baseModel,
  );
  const file = nameFile(record ? dataName(record) : "", PAGE);
  const rows = `${formatCount(examples.length)} ${examples.length === 1 ? "message" : "messages"} of the test set`;
  return {
    files: new Map([[file, sized(page.bytes, page.write)]]),
    notes: examples.length > 0 ? [`who has the page can read ${rows} in it, as examples`] : [],
    title: named,
    usages: [
      {
        title: "In a browser",
        language: "html",
        text: `Open ${file} with a double click: it needs no server and no network, and sends nothing.`,
        code: null,
      },
    ],
  };
};

/** Some messages of the run's test set: they are those with which "Try it" begins, without their labels. */
function testMessages({ results }: RunRecord): TextOrPair[] {
  const { samples = [] } = results?.test ?? {};
  return samples
    .map(({ text }) => text)
    .filter((text) => joinPair(text).trim() !== "")
    .slice(0, EXAMPLES);
}
