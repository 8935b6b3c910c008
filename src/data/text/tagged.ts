/** Sentences of which each word has a tag: reads CoNLL files and JSON lines. */
import { checkNumber, isObject, isText, isWithin, parseChoice } from "../../core/checks.ts";
import { usualLength } from "../../core/config.ts";
import { ConfigError, DataError, FormatError } from "../../core/errors.ts";
import { placeOf, ROWS } from "../../core/places.ts";
import { setting } from "../../core/setting.ts";
import { GPT2_VOCABULARY } from "../../io/tokenizer/vocabulary.ts";
import type { Splits } from "../../tasks/evaluation.ts";
import { HELD_OUT } from "../dataset.ts";
import { type GivenFiles, parseOrigin, type ReadingOptions, SOURCE } from "../dataset-options.ts";
import type { LoadedSets } from "../datasets.ts";
import { type CopyStats, countCopies, firstCopies } from "../duplicates.ts";
import { type DataSource, sourceName, whileOpen } from "../sets/source.ts";
import { splitDataset } from "../sets/split.ts";
import { hasCells, knownFormat } from "../table/dialect.ts";
import { checkEncoding } from "../table/encoding.ts";
import { Tokenizer } from "../tokenizer.ts";
import { readText } from "./text-file.ts";
import { checkRow, nameKind, parseRows, type Row, valueAt } from "./text-rows.ts";
import { TokenSet } from "./token-set.ts";
import { type EncodedWords, splitWords, WordEncoder } from "./words.ts";

/** Words, with a tag for each: a row of `loadTagged`. */
export interface TaggedRow {
  words: readonly string[];
  tags: readonly string[];
}

export interface Sentence extends TaggedRow {
  /** Its place in its file, from 0. */
  place: number;
  /** What it belongs to, if it was asked for. */
  group?: string | undefined;
  /** The index of its first near-duplicate among all sentences, or its own. */
  firstCopy?: number;
}

/** A file or rows in memory to split, or files that are split already. */
export type TaggedSpec = { file: DataSource } | { rows: readonly TaggedRow[] } | GivenFiles<DataSource>;

/** Options of `loadTagged`. */
export interface TaggedOptions extends ReadingOptions {
  /** The key of the words in JSON, or the path to it. Default: "tokens" or "words"; of a text with entities "text". */
  textColumn?: string;
  /** The key of the tags in JSON, or the path to it. Default: "tags" or "ner_tags"; of entities "entities" or "spans". */
  labelColumn?: string;
  /**
   * The key of what sentences belong to, in JSON: those of one group, and near-duplicates, are in one set and in one fold
   * of `train --folds`. Default: near-duplicates alone.
   */
  groupColumn?: string;
  /** The first tags, in this order, whether words have them or not. Default: those of the words, sorted. */
  labels?: readonly string[];
  /** Whether sentences are shuffled by the seed before they are split. Default "random". */
  split?: (typeof SPLITS)[number];
}

const SPLITS = ["random", "ordered"] as const;

const OPTIONS = {
  ...({ textColumn: "text?", labelColumn: "text?", groupColumn: "text?" } as const),
  ...({ labels: "texts?", split: "text?" } as const),
};

/** Counts of a set of sentences. */
export interface TaggedStats {
  /** Sentences. */
  rows: number;
  /** Words that have a target, and tokens that the model reads. */
  words: number;
  tokens: number;
  /** Sentences that were cut off. */
  cut: number;
  /** Words of each tag. */
  classes: Record<string, number>;
}

/** Sentences, split and encoded: what `loadTagged` returns. */
export interface LoadedTagged extends LoadedSets<Tagged> {
  objective: "tokens";
  stats: Splits<TaggedStats> &
    CopyStats & {
      /** Sentences without words, which were skipped. */
      empty: number;
    };
}

/** A set of sentences: the target of a word's first token is its tag, other tokens have none. */
export class Tagged extends TokenSet {
  private readonly ids: ReadonlyMap<string, number>;

  constructor(
    private readonly sentences: readonly Sentence[],
    private readonly encoded: readonly EncodedWords[],
    readonly labels: readonly string[],
  ) {
    super(Uint32Array.from(encoded, ({ ids }) => ids.length));
    this.ids = new Map(labels.map((label, id) => [label, id]));
  }

  protected write(i: number, ids: Uint32Array, targets: Int32Array): void {
    ids.set(this.encoded[i]!.ids);
    for (const [word, tag] of this.tags(i).entries()) targets[this.encoded[i]!.firsts[word]!] = tag;
  }

  first(count: number): Tagged {
    return this.select(this.positions().subarray(0, count));
  }

  select(positions: ArrayLike<number>): Tagged {
    const some = Array.from(positions);
    return new Tagged(
      some.map((i) => this.sentences[i]!),
      some.map((i) => this.encoded[i]!),
      this.labels,
    );
  }

  /** The words of a sentence, without those that were cut off. */
  words(i: number): readonly string[] {
    return this.sentences[i]!.words.slice(0, this.encoded[i]!.firsts.length);
  }

  tags(i: number): number[] {
    const { tags } = this.sentences[i]!;
    return Array.from(this.encoded[i]!.firsts, (_, word) => this.ids.get(tags[word]!)!);
  }

  /** Its place in its file, from 0. */
  place(i: number): number {
    return this.sentences[i]!.place;
  }

  firstCopies(): number[] {
    return this.sentences.map(({ firstCopy }) => firstCopy!);
  }

  text(i: number): string {
    return this.sentences[i]!.words.join(" ");
  }

  stats(): TaggedStats {
    const counts = this.labels.map(() => 0);
    for (let i = 0; i < this.size; i++) for (const tag of this.tags(i)) counts[tag]!++;
    return {
      rows: this.size,
      words: counts.reduce((a, b) => a + b, 0),
      tokens: this.lengths.reduce((a, b) => a + b, 0),
      cut: this.encoded.filter(({ firsts }, i) => firsts.length < this.sentences[i]!.words.length).length,
      classes: Object.fromEntries(this.labels.map((label, id) => [label, counts[id]!])),
    };
  }
}

/** As in index.ts. */
export async function loadTagged(spec: TaggedSpec, options: TaggedOptions = {}): Promise<LoadedTagged> {
  const origin = parseOrigin(spec, options, SOURCE, OPTIONS);
  const { model, maxLength = usualLength(model?.config), fractions = [0.7, 0.1, 0.2], seed = 1 } = options;
  const split = parseChoice("split", options.split ?? "random", SPLITS);
  checkNumber("maxLength", maxLength, { min: 1, whole: true });
  if (options.encoding !== undefined) checkEncoding(options.encoding);
  const sources =
    "train" in spec ? [spec.train, spec.val ?? [], spec.test ?? []].flat() : ["rows" in spec ? ROWS : spec.file];
  const read: Sentence[][] = "rows" in spec ? [readMemory(spec.rows, options)] : [];
  if (!("rows" in spec)) for (const source of sources) read.push(await readSentences(source, options));
  const empty = read.flat().filter(({ words }) => words.length === 0).length;
  const filled = read.map((sentences) => sentences.filter(({ words }) => words.length > 0));
  for (const [i, { length }] of filled.entries()) if (length === 0) throw noSentences(sourceName(sources[i]!));
  const all = filled.flat();
  const firsts = firstCopies(all.length, (i) => all[i]!.words.join(" "));
  for (const [i, one] of all.entries()) one.firstCopy = firsts[i]!;
  const found = new Set(all.flatMap(({ tags }) => tags));
  const labels = [...new Set([...(options.labels ?? []), ...[...found].sort()])];
  if (labels.length < 2)
    throw new DataError("only-one-class", "All words have the same tag", {
      where: sources.map(sourceName).join(", "),
      expected: "two or more tags",
      found: labels[0]!,
    });
  const groups: (string | undefined)[] = [];
  for (const { place, group } of filled[0]!) groups[place] = group;
  const encoder = new WordEncoder(await Tokenizer.load({ model }));
  const sets = filled.map((sentences) => {
    const encoded = sentences.map(({ words }) => encoder.encode(words, maxLength));
    return new Tagged(sentences, encoded, labels);
  });
  const [first, held] = sets as [Tagged, Tagged?];
  const parts =
    sets.length === 3
      ? sets
      : [...splitDataset(first, split, held ? HELD_OUT : fractions, seed, groups), ...(held ? [held] : [])];
  const [train, val, test] = parts as [Tagged, Tagged, Tagged];
  return {
    objective: "tokens",
    train,
    val,
    test,
    labels,
    ...(options.groupColumn === undefined ? {} : { groups }),
    stats: { train: train.stats(), val: val.stats(), test: test.stats(), ...countCopies(parts), empty },
    vocabulary: (model?.vocabulary ?? GPT2_VOCABULARY).fingerprint,
    maxLength,
    source: sources.map(sourceName).join(", "),
    origin,
  };
}

function readMemory(rows: readonly TaggedRow[], options: TaggedOptions): Sentence[] {
  return Array.from(rows, (row, place) => {
    const where = placeOf(ROWS, place + 1);
    return { ...readRow(checkRow(row, where, "{ words: [...], tags: [...] }"), where, options), place };
  });
}

const noSentences = (where: string) =>
  new DataError("no-rows", "The file has no sentences", {
    where,
    expected:
      'lines of a word and its tag, or of {"tokens": [...], "tags": [...]} or {"text": "...", "entities": [...]}',
  });

function readSentences(source: DataSource, options: TaggedOptions): Promise<Sentence[]> {
  return whileOpen(source, async (file) => {
    if (hasCells(file.name))
      throw new FormatError("table-without-text", "Sentences with tags are no table of cells", {
        where: file.name,
        expected: "CoNLL lines, or JSON lines with lists of words and tags, or with a text and its entities",
        hint: "convert the table to .jsonl",
      });
    const text = new TextDecoder().decode(await readText(file, options.encoding));
    const isJson = knownFormat(file.name) === "jsonl";
    if (!isJson && options.groupColumn !== undefined)
      throw new ConfigError("option-without-effect", `${setting("groupColumn")} needs a key of JSON lines`, {
        where: file.name,
        found: setting("groupColumn", options.groupColumn),
      });
    const read = isJson ? readRows(text, file.name, options) : parseConll(text, file.name);
    return Array.from(read, (sentence, place) => ({ ...sentence, place }));
  });
}

/** The sentences of a CoNLL file; lines of -DOCSTART- begin a document and are no words. */
function* parseConll(text: string, file: string): Generator<TaggedRow> {
  let words: string[] = [];
  let tags: string[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const columns = line.trim() === "" ? [] : line.trim().split(/\s+/);
    if (columns.length === 0 || columns[0] === "-DOCSTART-") {
      if (words.length > 0) yield { words, tags };
      [words, tags] = [[], []];
      continue;
    }
    if (columns.length < 2)
      throw new DataError("tags-differ-from-words", "A line has a word without a tag, or a tag without a word", {
        where: `${file}:${i + 1}`,
        expected: "a word, white space, and its tag; an empty line behind each sentence",
        found: columns[0]!,
        hint: `for a label of each text, leave out ${setting("objective", "tokens")}`,
      });
    words.push(columns[0]!);
    tags.push(columns.at(-1)!);
  }
  if (words.length > 0) yield { words, tags };
}

const WORD_KEYS = ["tokens", "words"];
const TAG_KEYS = ["tags", "ner_tags", "labels"];
const SPAN_KEYS = ["entities", "spans", "label", "labels"];

function* readRows(text: string, file: string, options: TaggedOptions): Generator<Omit<Sentence, "place">> {
  for (const { row, where } of parseRows(text, file)) yield readRow(row, where, options);
}

/** An entity of a text: its characters from `start` to `end`, as Python counts them, in the words of annotation tools. */
interface Span {
  start: number;
  end: number;
  label: string;
}

function readSpan(value: unknown): Span | null {
  const { start, end, label, start_offset = start, end_offset = end } = isObject(value) ? value : {};
  const parts = Array.isArray(value) ? value : [start_offset, end_offset, label];
  const [from, to, name] = parts as [number, number, string];
  return isWithin(from, { min: 0, whole: true }) && to > from && isText(name)
    ? { start: from, end: to, label: name }
    : null;
}

/** The words of a text whose entities are marked, with tags of IOB2; null: the row has no such text. */
function readMarked(row: Row, where: string, { textColumn = "text", labelColumn }: TaggedOptions): TaggedRow | null {
  const key = labelColumn ?? SPAN_KEYS.find((name) => Array.isArray(row[name]));
  const [text, list] = [valueAt(row, textColumn), key === undefined ? undefined : valueAt(row, key)];
  if (typeof text !== "string" || !Array.isArray(list) || list.some(isText)) return null;
  const words = splitWords(text);
  const tags = words.map(() => "O");
  // Python counts a character of two units once.
  const unit = /[\ud800-\udbff]/.test(text)
    ? (at: number) => [...text].slice(0, at).join("").length
    : (at: number) => at;
  for (const one of list) {
    const span = readSpan(one);
    const [start, end] = span ? [unit(span.start), unit(span.end)] : [0, 0];
    const within = [...words.keys()].filter((i) => words[i]!.start < end && words[i]!.end > start);
    if (!span || within.length === 0 || within.some((i) => tags[i] !== "O"))
      throw new DataError("tags-differ-from-words", "An entity is none of the text, or has words of another one", {
        where,
        expected: '{ "start": 0, "end": 4, "label": "PER" } or [0, 4, "PER"], within the text',
        found: JSON.stringify(one),
      });
    for (const i of within) tags[i] = `${i === within[0] ? "B" : "I"}-${span.label}`;
  }
  return { words: words.map((word) => word.text), tags };
}

function readRow(row: Row, where: string, options: TaggedOptions): Omit<Sentence, "place"> {
  const { textColumn, labelColumn, groupColumn } = options;
  const group = groupColumn === undefined ? undefined : String(valueAt(row, groupColumn) ?? "") || undefined;
  const marked = readMarked(row, where, options);
  if (marked) return { ...marked, group };
  const words = readList(row, textColumn, WORD_KEYS, "words", where);
  const tags = readList(row, labelColumn, TAG_KEYS, "tags", where);
  if (words.length === tags.length) return { words, tags, group };
  throw new DataError("tags-differ-from-words", "A sentence has not one tag a word", {
    where,
    expected: `${words.length} tags, one for each word`,
    found: `${tags.length} tags`,
  });
}

function readList(row: Row, asked: string | undefined, usual: readonly string[], what: string, where: string) {
  const key = asked ?? usual.find((name) => Object.hasOwn(row, name));
  const value = key === undefined ? undefined : valueAt(row, key);
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value as string[];
  throw new DataError("column-not-recognized", `No key has the list of ${what}`, {
    where,
    expected: `${asked ?? usual.join(" or ")}: a list of strings`,
    found:
      key === undefined || value === undefined
        ? `the keys ${Object.keys(row).slice(0, 8).join(", ") || "of an empty object"}`
        : Array.isArray(value)
          ? `a list with ${nameKind(value.find((one) => typeof one !== "string"))}`
          : nameKind(value),
  });
}
