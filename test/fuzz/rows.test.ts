/** Rows for a classifier and texts for a language model: CSV, TSV, JSON lines and plain text, changed at random. */

import { LowrankError } from "../../src/core/errors.ts";
import { joinPair } from "../../src/core/pair.ts";
import type { Rng } from "../../src/core/rng.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import type { DatasetOptions } from "../../src/data/dataset-options.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { loadTagged } from "../../src/data/text/tagged.ts";
import { type LoadedTexts, loadTexts } from "../../src/data/text/texts.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { randomText } from "../helpers/random-text.ts";
import { type Case, fuzz } from "./fuzz.ts";
import { mutateBytes, mutateTree, oneIn, pick, type Tree, toTree, treeText, writtenOddly } from "./mutate.ts";

type Format = "csv" | "tsv" | "jsonl";
type Row = Record<string, unknown>;

interface RowsCase extends Case {
  name: string;
  options: DatasetOptions;
  /** Another number of bytes to read at a time, with which the result is the same. */
  chunkBytes: number;
}

const LABELS = [
  ["ham", "spam"],
  ["0", "1"],
  ["-1", "1", "10"],
  ["a", "b", "c", "d"],
  [" x ", "x", "é"],
  ["yes"],
  ["__proto__", "constructor", "0"],
  ["", "a"],
];
const HEADERS = [
  ["label", "text"],
  ["v1", "v2"],
  ["Category", "Message"],
  ["text", "label"],
  ["kind", "mail"],
  ["label", "label"],
];

/** The texts and labels of a small data set; now and then many classes, few rows, or one row that is huge. */
function drawRows(rng: Rng): [label: string, text: string][] {
  const labels = oneIn(rng, 12) ? Array.from({ length: 300 }, (_, i) => `class ${i / 7}`) : pick(rng, LABELS);
  const count = oneIn(rng, 8) ? rng.below(4) : 10 + rng.below(oneIn(rng, 10) ? 400 : 30);
  return Array.from({ length: count }, (_, i) => [
    oneIn(rng, 3) ? pick(rng, labels) : labels[i % labels.length]!,
    oneIn(rng, 400) ? pick(rng, ["x", "é ", '"', "\n"]).repeat(rng.below(60_000)) : randomText(rng, 12),
  ]);
}

/** A field as a spreadsheet writes it, as it should not, or as it is. */
function field(rng: Rng, text: string, format: Format): string {
  const quoted = `"${text.replaceAll('"', '""')}"`;
  if (oneIn(rng, 400))
    return pick(rng, [`"${text}`, `${text}"`, `"${text}"x`, ` ${quoted} `, `"""${text}`, "\0", `'${text}'`]);
  const plain = format === "csv" ? !/[",\r\n]/.test(text) : !/[\t\r\n]/.test(text);
  // A line of TSV has no way to hold a line end.
  if (format === "tsv") return plain ? text : text.replace(/[\t\r\n]/g, " ");
  return plain && !oneIn(rng, 4) ? text : quoted;
}

function table(rng: Rng, format: Format): string {
  const separator = format === "csv" ? "," : "\t";
  const end = pick(rng, ["\n", "\n", "\r\n", "\r"]);
  const [first, second] = pick(rng, HEADERS) as [string, string];
  const turned = first === "text";
  const rows = drawRows(rng).map(([label, text]) => (turned ? [text, label] : [label, text]));
  const extra = oneIn(rng, 5) ? [pick(rng, ["", "id", "text"])] : [];
  const all = [...(oneIn(rng, 5) ? [] : [[first, second]]), ...rows].map((row) => [...row, ...extra]);
  // One row of another width, in few files.
  if (oneIn(rng, 12) && all.length > 0)
    pick(rng, all).splice(rng.below(3), rng.below(2), ...(oneIn(rng, 2) ? ["more"] : []));
  const lines = all.map((row) => row.map((one) => field(rng, one, format)).join(oneIn(rng, 2000) ? ";" : separator));
  return lines.join(end) + (oneIn(rng, 2) ? end : "");
}

/** Objects, one a line; some lines changed as JSON is. */
function jsonLines(rng: Rng, rows: readonly Row[]): string {
  const wild = oneIn(rng, 2);
  const words = { keys: ["text", "label", "prompt", "completion"], values: ["ham", 1, true, ["x"], null] };
  const lines = rows.map((row) => {
    if (oneIn(rng, 100)) return pick(rng, ["{}", '{"text":{"text":"x"},"label":"ham"}']);
    let tree: Tree = toTree(row);
    if (wild && oneIn(rng, rows.length)) tree = mutateTree(rng, tree, words);
    return treeText(tree);
  });
  return lines.join(pick(rng, ["\n", "\n", "\r\n", "\n\n"])) + (oneIn(rng, 2) ? "\n" : "");
}

/** The bytes of a file: as they should be, in another encoding, or with a few changed. */
function encoded(rng: Rng, text: string): Uint8Array {
  let bytes = oneIn(rng, 10) ? writtenOddly(rng, text) : new TextEncoder().encode(text);
  if (oneIn(rng, 3)) for (let left = 1 + rng.below(3); left > 0; left--) bytes = mutateBytes(rng, bytes);
  return bytes;
}

/** How a file is read: as it is by default, or with what people set. */
function drawOptions(rng: Rng): DatasetOptions {
  return {
    maxLength: pick(rng, [64, 64, 1, 7]),
    ...(oneIn(rng, 3) ? { skipFaulty: true } : {}),
    ...(oneIn(rng, 4) ? { balance: false } : {}),
    ...(oneIn(rng, 6) ? { dedupe: true } : {}),
    ...(oneIn(rng, 6) ? { split: pick(rng, ["stratified", "experiment", "random"] as const) } : {}),
    ...(oneIn(rng, 8) ? { padding: pick(rng, ["longest", 7] as const) } : {}),
    ...(oneIn(rng, 12) ? { textColumn: pick(rng, ["text", "v2", "", "__proto__", "text.text"]) } : {}),
    ...(oneIn(rng, 12) ? { labelColumn: pick(rng, ["label", "v1", "é"]) } : {}),
  };
}

function drawCase(rng: Rng, format: Format | "txt", text: string): RowsCase {
  const name = `rows.${format}`;
  const files = new Map([[name, encoded(rng, text)]]);
  return { files, name, options: drawOptions(rng), chunkBytes: pick(rng, [1, 2, 3, 7, 64, 1000]) };
}

let modules: Promise<[DataModule, DataModule]> | undefined;
let tokenizer: Promise<Tokenizer> | undefined;

/** What was read, or why not; and either as text. */
async function outcome(
  load: () => Promise<LoadedDataset>,
): Promise<{ data?: LoadedDataset; error?: LowrankError; text: string }> {
  try {
    const data = await load();
    return { data, text: JSON.stringify(datasetContents(data)) };
  } catch (error) {
    if (error instanceof LowrankError) return { error, text: error.message };
    throw error;
  }
}

const SETS = ["train", "val", "test"] as const;

function datasetContents(data: LoadedDataset) {
  const sets = SETS.map((key) => data[key].positions());
  const rows = SETS.map((key, i) => [...sets[i]!].map((row) => [data[key].label(row), data[key].text(row)]));
  const { leftOut, ...stats } = data.stats;
  return { rows, labels: data.labels, stats, leftOut: [leftOut.rows, leftOut.rowErrors.map(({ message }) => message)] };
}

/** Sizes that fit each other, texts without what cannot be, batches of the rows' own tokens. */
async function checkRows(data: LoadedDataset): Promise<void> {
  tokenizer ??= Tokenizer.load();
  const ours = await tokenizer;
  const used = SETS.reduce((sum, key) => sum + data[key].size, 0);
  const read = Object.values(data.stats.classesRead).reduce((a, b) => a + b, 0);
  if (read !== data.stats.rowsRead || used + data.stats.copies > read) throw new Error(JSON.stringify(data.stats));
  if (data.labels.length < 2 || new Set(data.labels).size !== data.labels.length) throw new Error(`${data.labels}`);
  for (const key of SETS) {
    const set = data[key];
    if (set.size === 0) throw new Error(`no rows in ${key}`);
    const { ids, starts, labels, lengths } = set.batch(set.positions());
    for (let row = 0; row < set.size; row++) {
      const text = joinPair(set.text(row));
      const own = ids.subarray(starts[row], starts[row]! + lengths[row]!);
      const decoded = text === "" ? "" : ours.decode(own);
      // A row that was cut may end within a character.
      if (!text.isWellFormed() || !text.startsWith(decoded.replace(/\ufffd+$/, "")))
        throw new Error(`${text} is ${decoded}`);
      if (data.labels[labels[row]!] === undefined) throw new Error(`class ${labels[row]}`);
    }
  }
}

/** The rows written as JSON lines give the same rows. */
async function checkRoundTrip(data: LoadedDataset, module: DataModule): Promise<void> {
  const rows = SETS.flatMap((key) =>
    [...data[key].positions()].map((row) => ({ label: data.labels[data[key].label(row)]!, text: data[key].text(row) })),
  );
  const lines = new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join("\n"));
  // Without copies a class may have one row left, which no file may have.
  const labels = rows.map(({ label }) => label);
  if (new Set(labels).size < 2 || labels.some((label) => labels.indexOf(label) === labels.lastIndexOf(label))) return;
  const options = { module, balance: false, maxLength: data.maxLength, fractions: [0.5, 0.25, 0.25] } as const;
  const again = await loadDataset({ file: bytesReader("again.jsonl", lines) }, options);
  const [found, expected] = [again, data].map((one) =>
    SETS.flatMap((key) =>
      Array.from(one[key].positions(), (row) => `${one.labels[one[key].label(row)]}\t${one[key].text(row)}`),
    ).sort(),
  );
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`written and read again: ${found}`);
}

async function read({ files, name, options, chunkBytes }: RowsCase): Promise<() => Promise<void>> {
  modules ??= Promise.all([DataModule.load(), DataModule.load()]);
  const [module, other] = await modules;
  const bytes = files.get(name) as Uint8Array;
  const load = (more: DatasetOptions) => loadDataset({ file: bytesReader(name, bytes) }, { ...options, ...more });
  const inPieces = await outcome(() => load({ module: other, chunkBytes }));
  const { data, error, text } = await outcome(() => load({ module }));
  if (inPieces.text !== text) throw new Error(`${chunkBytes} bytes at a time: ${inPieces.text}\nin place of ${text}`);
  if (error) {
    const line = /^rows\.\w+:(\d+)/.exec(error.details.where ?? "")?.[1];
    const lines = new TextDecoder("latin1").decode(bytes).split(/\r\n|\r|\n/).length;
    if (line !== undefined && !(Number(line) >= 1 && Number(line) <= lines)) throw new Error(`no line ${line}`);
  }
  if (!data) throw error;
  return async () => {
    await checkRows(data);
    await checkRoundTrip(data, other);
  };
}

const tables = (format: Format) => (rng: Rng) => drawCase(rng, format, table(rng, format));

fuzz({ name: "csv", count: 200, make: tables("csv"), read });
fuzz({ name: "tsv", count: 200, make: tables("tsv"), read });
fuzz({
  name: "jsonl",
  count: 200,
  make(rng) {
    const turned = oneIn(rng, 3);
    const rows = drawRows(rng).map(([label, text]) => (turned ? { text, label } : { label, text, n: 1 }));
    return drawCase(rng, "jsonl", jsonLines(rng, rows));
  },
  read,
});

/** Every block is as long as it may be, and its tokens are the tokenizer's. */
function checkTexts(data: LoadedTexts): void {
  for (const key of SETS) {
    const set = data[key];
    if (set.size === 0) throw new Error(`no blocks in ${key}`);
    const { ids, starts, targets } = set.batch(Uint32Array.from({ length: set.size }, (_, i) => i));
    if (ids.length !== targets.length || starts.at(-1) !== ids.length) throw new Error("sizes that do not fit");
    if (ids.some((id) => id >= 50257) || targets.some((id) => id >= 50257 || (id < 0 && id !== -100)))
      throw new Error("ids");
    for (let i = 0; i < set.size; i++)
      if (starts[i + 1]! <= starts[i]! || starts[i + 1]! - starts[i]! > data.maxLength) throw new Error(`block ${i}`);
  }
}

fuzz({
  name: "texts",
  count: 150,
  make(rng) {
    const texts = drawRows(rng).map(([, text]) => text);
    if (oneIn(rng, 3)) return drawCase(rng, "txt", texts.join("\n"));
    const pairs = oneIn(rng, 2);
    return drawCase(
      rng,
      "jsonl",
      jsonLines(
        rng,
        texts.map((text) => (pairs ? { prompt: text.slice(0, 4), completion: text } : { text })),
      ),
    );
  },
  async read({ files, name, options: { maxLength, textColumn } }) {
    const source = { file: bytesReader(name, files.get(name) as Uint8Array) };
    const data = await loadTexts(source, {
      maxLength: maxLength!,
      ...(textColumn === undefined ? {} : { textColumn }),
    });
    return () => checkTexts(data);
  },
});

const TAGS = [
  ...["B-PER I-PER O", "B I O", "NOUN VERB ORG O", "B_PER I_PER O", "b-per o O-X", "S-A E-A B-A", "constructor O"],
  ...["- B- -", "PER PER O"],
].map((tags) => tags.split(" "));

/** Sentences with a tag for each word, now and then one too many. */
function drawSentences(rng: Rng): { tokens: string[]; tags: string[] }[] {
  const tags = pick(rng, TAGS);
  return drawRows(rng).map(([, text]) => {
    const tokens = text.split(/\s+/).filter((word) => word !== "" || oneIn(rng, 50));
    return { tokens, tags: Array.from({ length: tokens.length + Number(oneIn(rng, 400)) }, () => pick(rng, tags)) };
  });
}

fuzz({
  name: "tags",
  count: 250,
  make(rng) {
    const sentences = drawSentences(rng);
    if (oneIn(rng, 2)) return drawCase(rng, "jsonl", jsonLines(rng, sentences));
    const separator = pick(rng, ["\t", " ", " _ _ "]);
    const blocks = sentences.map(({ tokens, tags }) =>
      tags.map((tag, i) => `${tokens[i]}${separator}${tag}`).join("\n"),
    );
    return drawCase(rng, "txt", blocks.join(pick(rng, ["\n\n", "\n\n", "\n \n", "\n"])));
  },
  async read({ files, name, options: { maxLength } }) {
    const file = bytesReader(name, files.get(name) as Uint8Array);
    const data = await loadTagged({ file }, { maxLength: maxLength! });
    return () => {
      for (const set of SETS.map((key) => data[key])) {
        const { ids, targets } = set.batch(set.positions());
        const words = Array.from(set.positions(), (i) => set.words(i).length).reduce((a, b) => a + b, 0);
        if (ids.length !== targets.length || targets.filter((id) => id !== -100).length !== words)
          throw new Error(`${words} words`);
        if (targets.some((id) => id >= data.labels.length)) throw new Error(`${data.labels}`);
      }
    };
  },
});
