/** Texts for a language model: reads plain text files and JSON lines, and splits them into sets and blocks. */

import { packagePath } from "#platform";
import humanRights from "../../../data/datasets/human-rights.json" with { type: "json" };
import { checkNumber } from "../../core/checks.ts";
import { usualLength } from "../../core/config.ts";
import { ConfigError, DataError, FormatError } from "../../core/errors.ts";
import { placeOf, ROWS } from "../../core/places.ts";
import { Rng } from "../../core/rng.ts";
import { either, setting } from "../../core/setting.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "../../io/hub/download-options.ts";
import { GPT2_VOCABULARY } from "../../io/tokenizer/vocabulary.ts";
import type { Splits } from "../../tasks/evaluation.ts";
import { cutParts, HELD_OUT, partSizes } from "../dataset.ts";
import { type GivenFiles, parseOrigin, type ReadingOptions, SOURCES } from "../dataset-options.ts";
import type { LoadedSets } from "../datasets.ts";
import { isOnHub } from "../sets/named.ts";
import { type DataSource, whileOpen } from "../sets/source.ts";
import { type CellFile, checkSizes, textOf } from "../table/cells.ts";
import { findAskedTexts } from "../table/columns.ts";
import { isOnlyTable, tableFormat } from "../table/dialect.ts";
import { checkEncoding } from "../table/encoding.ts";
import { Tokenizer } from "../tokenizer.ts";
import { type BlockOptions, type BlockStats, Blocks, type Completion } from "./blocks.ts";
import type { Chat } from "./chat.ts";
import { readText } from "./text-file.ts";
import {
  CHATS,
  checkRow,
  findTextKeys,
  type Keys,
  type Located,
  messageOf,
  parseRows,
  type Row,
  rowText,
  valueAt,
} from "./text-rows.ts";

/** A row of `loadTexts`: a text, a prompt with its completion, also as Alpaca names them, or a chat, also ShareGPT's. */
export type TextRow =
  | string
  | { text: string }
  | { prompt: string; completion: string }
  | { instruction: string; input?: string; output: string }
  | { messages: readonly { role: string; content: string }[] }
  | { conversations: readonly { from: string; value: string }[] };

/**
 * Files to split, or files that are split already, one file or several for each; rows in memory to split; or a name:
 * "human-rights", a short text that comes with the program, or a data set on the Hugging Face hub, owner/name with
 * `:configuration`, or `@` and a commit, behind it.
 */
export type TextsSpec =
  | { file: DataSource | readonly DataSource[] }
  | { rows: readonly TextRow[] }
  | GivenFiles<DataSource | readonly DataSource[]>
  | { name: string };

/** Options of `loadTexts`. */
export interface TextsOptions extends ReadingOptions, Pick<DownloadOptions, "onProgress" | "signal"> {
  /** The key of the texts in JSON, or the path to it (`message.body`). Default: "text" or another common name. */
  textColumn?: string;
  /** Tokens between the starts of two blocks. Default: `maxLength`, so that blocks do not overlap. */
  stride?: number;
}

const { onProgress, signal } = DOWNLOAD_OPTIONS;
const OPTIONS = { textColumn: "text?", stride: "number?", onProgress, signal } as const;

/** Texts, split and encoded: what `loadTexts` returns. */
export interface LoadedTexts extends LoadedSets<Blocks> {
  objective: "lm";
  /** Whether they are chats, of which the answers are learned. */
  chat: boolean;
  stats: Splits<BlockStats> & {
    /** Empty documents, which were skipped. */
    empty: number;
  };
}

type Parts<T> = [train: T, val: T, test: T];

/** A row of JSON lines, or a file of plain text. */
type Document = Uint32Array | Completion;

/** As in index.ts. */
export async function loadTexts(spec: TextsSpec, options: TextsOptions = {}): Promise<LoadedTexts> {
  const origin = parseOrigin(spec, options, SOURCES, OPTIONS);
  const { model, maxLength = usualLength(model?.config), fractions = [0.8, 0.1, 0.1], seed = 1 } = options;
  const { stride = maxLength } = options;
  checkNumber("maxLength", maxLength, { min: 1, whole: true });
  if (options.encoding !== undefined) checkEncoding(options.encoding);
  checkNumber("stride", stride, { min: 1, max: maxLength, whole: true });
  const tokenizer = await Tokenizer.load({ model });
  const reader = new TextsReader(tokenizer, options);
  const parts: Parts<Document[][]> = [[], [], []];
  const add = (some: readonly Document[][], at: readonly number[]) => {
    for (const [i, documents] of some.entries()) parts[at[i]!]!.push(documents);
  };
  const { sets, source, name } = "rows" in spec ? { sets: [], source: ROWS } : await listSets(spec, options);
  if ("rows" in spec) add(await reader.split(spec.rows, fractions, seed), [0, 1, 2]);
  for (const [files, at] of sets)
    for (const file of files)
      if (at.length === 1) add([await reader.read(file)], at);
      else add(await reader.readAndSplit(file, at.length === 2 ? HELD_OUT : fractions, seed), at);
  const [train, val, test] = parts.map((documents, i) =>
    buildBlocks(documents.flat(), ["training", "validation", "test"][i]!, {
      ...{ length: maxLength, stride, tokenizer },
      mayBeEmpty: fractions[i] === 0,
    }),
  ) as Parts<Blocks>;
  return {
    objective: "lm",
    chat: reader.readsChats,
    train,
    val,
    test,
    labels: [],
    stats: { train: train.stats(), val: val.stats(), test: test.stats(), empty: reader.empty },
    vocabulary: (model?.vocabulary ?? GPT2_VOCABULARY).fingerprint,
    maxLength,
    source,
    origin: name === undefined ? origin : { ...origin, name },
  };
}

/** The files of a set, and of which parts they are: 0, 1 and 2 are train, val and test. Files of several are split. */
type FileSet = [files: readonly DataSource[], parts: readonly number[]];

interface Sets {
  sets: readonly FileSet[];
  source: string;
  /** The name by which the same texts of the hub are found again. */
  name?: string;
}

async function listSets(spec: Exclude<TextsSpec, { rows: unknown }>, options: TextsOptions): Promise<Sets> {
  if ("name" in spec) return isOnHub(spec.name) ? hubSets(spec.name, options) : bundledSets(spec.name);
  const sets: readonly FileSet[] = "train" in spec ? joinSets(spec) : [[sourceList(spec.file), [0, 1, 2]]];
  const names = sets.flatMap(([files]) => files.map((file) => (typeof file === "string" ? file : file.name)));
  return { sets, source: names.join(", ") };
}

function bundledSets(name: string): Sets {
  if (name !== humanRights.name)
    throw new ConfigError("unsupported-dataset", `"${name}" is not a data set for a language model`, {
      expected: `${humanRights.name}, owner/name on the Hugging Face hub, or files`,
      hint: `give text files with ${setting("data")}`,
    });
  return { sets: [[[packagePath(`data/${humanRights.file}`)], [0, 1, 2]]], source: `${name}: ${humanRights.title}` };
}

/** The sets of a data set of the hub: as `loadDataset` chooses them. */
async function hubSets(name: string, options: TextsOptions): Promise<Sets> {
  const { openHubDataset } = await import("../sets/hub.ts");
  const found = await openHubDataset(name, options);
  const { train, val, test } = found;
  const title = `${found.title} of the Hugging Face hub: ${train.name}`;
  const held = test ?? val;
  if (!held) return { sets: [[train.files, [0, 1, 2]]], source: title, name: found.name };
  const sets = joinSets({ train: train.files, val: val?.files, test: test?.files } as GivenFiles<
    readonly DataSource[]
  >);
  if (val && test) return { sets, source: `${title}, ${val.name}, ${test.name}`, name: found.name };
  const source = `${title}, of which a tenth, drawn by the seed, is the validation set, and ${held.name}`;
  return { sets, source: held === test ? source : `${source} as the test set`, name: found.name };
}

/** Without a test set the validation set is one, and a missing one is taken from the training set. */
function joinSets({ train, val, test }: GivenFiles<DataSource | readonly DataSource[]>): readonly FileSet[] {
  if (val && test) return [train, val, test].map((files, i) => [sourceList(files), [i]]);
  return [
    [sourceList(train), [0, 1]],
    [sourceList((test ?? val)!), [2]],
  ];
}

const sourceList = (sources: DataSource | readonly DataSource[]): readonly DataSource[] =>
  Array.isArray(sources) ? sources : [sources as DataSource];

function buildBlocks(
  documents: readonly Document[],
  set: string,
  { mayBeEmpty, ...options }: BlockOptions & { mayBeEmpty: boolean },
): Blocks {
  const completions = documents.filter((document): document is Completion => "prompt" in document);
  const texts = documents.filter((document): document is Uint32Array => !("prompt" in document));
  if (documents.length === 0 && !mayBeEmpty)
    throw new DataError("too-little-text", `Too little text: the ${set} set is empty`, {
      expected: "at least one document, or some lines of a text, in each of the three sets",
      hint: either(
        "give more text",
        `separate files: ${setting("data")}, ${setting("val")} and ${setting("test")}`,
        ...(set === "training" ? [] : [`all of it for training: ${setting("fractions", [1, 0, 0])}`]),
      ),
    });
  if (completions.length > 0 && texts.length > 0)
    throw new DataError("texts-mixed-with-completions", "A set mixes texts and completions", {
      expected: "only texts, or only prompts with completions",
      found: `${texts.length} texts and ${completions.length} completions in the ${set} set`,
    });
  return texts.length > 0 ? Blocks.pack(texts, options) : Blocks.complete(completions, options);
}

/** Reads files into documents. */
class TextsReader {
  empty = 0;
  private chat: Chat | undefined;

  get readsChats(): boolean {
    return this.chat !== undefined;
  }

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: TextsOptions,
  ) {}

  async read(source: DataSource): Promise<Document[]> {
    const content = await contents(source, this.options);
    return content instanceof Uint8Array ? this.texts([content]) : (await this.rows(content)).flat();
  }

  /** The documents of a file in three parts: rows are shuffled first, a plain text is split by `cutText`. */
  async readAndSplit(source: DataSource, fractions: readonly number[], seed: number): Promise<Document[][]> {
    const content = await contents(source, this.options);
    if (!(content instanceof Uint8Array)) return this.shuffleAndCut(content, fractions, seed);
    return cutText(content, fractions).map((part, i) => (fractions[i] === 0 ? [] : this.texts([part])));
  }

  /** The documents of rows in memory in three parts, as of JSON lines. */
  async split(rows: readonly TextRow[], fractions: readonly number[], seed: number): Promise<Document[][]> {
    const located = Array.from(rows, (row, i) => {
      const where = placeOf(ROWS, i + 1);
      return { row: checkRow(typeof row === "string" ? { text: row } : row, where), where };
    });
    return this.shuffleAndCut(located, fractions, seed);
  }

  private async shuffleAndCut(rows: Iterable<Located>, fractions: readonly number[], seed: number) {
    const shuffled = new Rng(seed).shuffle(await this.rows(rows));
    return cutParts(shuffled, fractions).map((part) => part.flat());
  }

  private texts(texts: readonly Uint8Array[]): Document[] {
    const filled = texts.filter(({ length }) => length > 0);
    this.empty += texts.length - filled.length;
    return filled.map((text) => this.tokenizer.encodeBytes(text));
  }

  /** The documents of each row: one, or the answers of a chat, which stay in one set; rows without any are left out. */
  private async rows(located: Iterable<Located>): Promise<Document[][]> {
    const rows: Document[][] = [];
    let keys: Keys | undefined;
    for (const { row, where } of located) {
      keys ??= findTextKeys(Object.keys(row), this.options.textColumn, where);
      const documents = await this.row(row, keys, where);
      if (documents.length > 0) rows.push(documents);
    }
    return rows;
  }

  private async row(row: Row, keys: Keys, where: string): Promise<Document[]> {
    const messages = valueAt(row, keys[0]);
    if (keys.length === 1 && Array.isArray(messages)) return this.answers(messages.map(messageOf), where);
    const [first, second] = keys.slice(0, 2).map((key) => rowText(row, key, where)) as [string, string?];
    if (second === undefined) return this.texts([new TextEncoder().encode(first)]);
    if (keys.length === 3) return this.instruction(first, valueAt(row, keys[2]), second, where);
    return this.completion(first, second);
  }

  private completion(prompt: string, completion: string): Document[] {
    const { tokenizer } = this;
    return [
      { prompt: tokenizer.encode(prompt), completion: tokenizer.encode(completion, { addSpecialTokens: false }) },
    ];
  }

  private async answers(messages: unknown, where: string): Promise<Document[]> {
    this.chat ??= await openChat(this.tokenizer);
    return this.chat.completions(messages, where);
  }

  /** An instruction with its input: a question of a chat, or a prompt that ends with an empty line. */
  private instruction(
    instruction: string,
    input: unknown,
    output: string,
    where: string,
  ): Promise<Document[]> | Document[] {
    const prompt = typeof input === "string" && input.trim() !== "" ? `${instruction}\n\n${input}` : instruction;
    if (this.tokenizer.chat === null) return this.completion(`${prompt}\n\n`, output);
    const messages = [
      { role: "user", content: prompt },
      { role: "assistant", content: output },
    ];
    return this.answers(messages, where);
  }
}

/** Imported on demand: few texts are chats. */
async function openChat(tokenizer: Tokenizer): Promise<Chat> {
  // With it the templates' language, Jinja, is loaded.
  const { Chat } = await import("./chat.ts");
  return new Chat(tokenizer);
}

/** The rows of a file that has a text or a chat each, or the bytes of one text. */
async function contents(
  source: DataSource,
  { encoding, textColumn }: TextsOptions,
): Promise<Iterable<Located> | Uint8Array> {
  return whileOpen(source, async (file) => {
    if (isOnlyTable(file.name))
      throw new FormatError("table-without-text", "A language model needs text, not a table", {
        where: file.name,
        expected: "plain text, or JSON lines with a text, or a prompt and a completion, each",
        hint: "convert the table to .jsonl",
      });
    const format = tableFormat(file.name);
    if (format?.open) return rowsOf(await format.open(file), textColumn, file.name);
    const bytes = await readText(file, encoding);
    return format?.texts === "objects" ? parseRows(new TextDecoder().decode(bytes), file.name) : bytes;
  });
}

/** The rows of a file of cells, with the columns of texts or chats. */
async function rowsOf(table: CellFile, asked: string | undefined, file: string): Promise<Located[]> {
  const names = await table.choose(
    async (_, usable = []) =>
      asked === undefined ? findTextKeys(usable, asked, file) : [usable[findAskedTexts(usable, asked, file)[0]]!],
    asked === undefined ? CHATS : [asked],
  );
  const columns = names.map((name) => table.names!.indexOf(name));
  const located: Located[] = [];
  let size = 0;
  for await (const rows of table.rows(columns, columns, false))
    for (const { number, cells } of rows) {
      const length = cells.reduce((sum: number, cell) => sum + textOf(cell).length, 0);
      size += length;
      checkSizes(file, names, number, length, size);
      const values = cells.map((cell, i) => [names[i]!, cell instanceof Uint8Array ? textOf(cell) : cell]);
      located.push({ row: Object.fromEntries(values), where: placeOf(file, number) });
    }
  return located;
}

/** Splits a text into parts of about these fractions of its bytes, after a line end if the part has one. */
function cutText(bytes: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  const ends = partSizes(bytes.length, fractions).map(
    (
      (sum) => (size: number) =>
        (sum += size)
    )(0),
  );
  let start = 0;
  return ends.map((end, i) => {
    let cut = end;
    if (i < ends.length - 1) {
      const line = bytes.indexOf(LINE_FEED, Math.max(0, end - 1)) + 1;
      if (line > 0 && line < (ends.find((later) => later > end) ?? end)) cut = line;
      // Do not split a character.
      else while (cut < bytes.length && (bytes[cut]! & 0xc0) === 0x80) cut++;
    }
    const part = bytes.subarray(start, cut);
    start = cut;
    return part;
  });
}
const LINE_FEED = 10;
