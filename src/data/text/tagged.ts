/** Sentences of which each word has a tag: reads CoNLL files and JSON lines. */
import { checkNumber, parseChoice } from "../../checks.ts";
import { usualLength } from "../../config.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { GPT2_VOCABULARY } from "../../io/tokenizer/vocabulary.ts";
import { Rng } from "../../rng.ts";
import { setting } from "../../setting.ts";
import type { Splits } from "../../tasks/evaluation.ts";
import { checkParts, cutParts } from "../dataset.ts";
import { parseOrigin, type ReadingOptions, SOURCE } from "../dataset-options.ts";
import type { LoadedSets } from "../datasets.ts";
import { placeOf, ROWS } from "../places.ts";
import { type DataSource, sourceName, whileOpen } from "../sets/source.ts";
import { tableFormat } from "../table/dialect.ts";
import { checkEncoding } from "../table/encoding.ts";
import { Tokenizer } from "../tokenizer.ts";
import { readText } from "./text-file.ts";
import { checkRow, nameKind, parseRows, type Row, valueAt } from "./text-rows.ts";
import { TokenSet } from "./token-set.ts";
import { type EncodedWords, WordEncoder } from "./words.ts";

/** Words, with a tag for each: a row of `loadTagged`. */
export interface TaggedRow {
  words: readonly string[];
  tags: readonly string[];
}

interface Sentence extends TaggedRow {
  /** Its place in its file, from 0. */
  place: number;
  /** What it belongs to, if it was asked for. */
  group?: string | undefined;
}

/** A file or rows in memory to split, or files that are split already. */
export type TaggedSpec =
  | { file: DataSource }
  | { rows: readonly TaggedRow[] }
  | Record<"train" | "val" | "test", DataSource>;

/** Options of `loadTagged`. */
export interface TaggedOptions extends ReadingOptions {
  /** The key of the words in JSON, or the path to it. Default: "tokens" or "words". */
  textColumn?: string;
  /** The key of the tags in JSON, or the path to it. Default: "tags" or "ner_tags". */
  labelColumn?: string;
  /**
   * The key of what sentences belong to, in JSON: those of one group are in one fold of `train --folds`. Default: sentences
   * are by themselves.
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
  stats: Splits<TaggedStats> & {
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
  const sources = "train" in spec ? [spec.train, spec.val, spec.test] : ["rows" in spec ? ROWS : spec.file];
  const read: Sentence[][] = "rows" in spec ? [readMemory(spec.rows, options)] : [];
  if (!("rows" in spec)) for (const source of sources) read.push(await readSentences(source, options));
  const filled = read.map((sentences) => sentences.filter(({ words }) => words.length > 0));
  for (const [i, { length }] of filled.entries()) if (length === 0) throw noSentences(sourceName(sources[i]!));
  const parts = filled.length === 1 ? splitSentences(filled[0]!, split, fractions, seed) : filled;
  const found = new Set(parts.flatMap((part) => part.flatMap(({ tags }) => tags)));
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
  const [train, val, test] = parts.map((part) => {
    const encoded = part.map(({ words }) => encoder.encode(words, maxLength));
    return new Tagged(part, encoded, labels);
  }) as [Tagged, Tagged, Tagged];
  const count = (sets: readonly Sentence[][]) => sets.reduce((sum, { length }) => sum + length, 0);
  return {
    objective: "tokens",
    train,
    val,
    test,
    labels,
    ...(options.groupColumn === undefined ? {} : { groups }),
    stats: { train: train.stats(), val: val.stats(), test: test.stats(), empty: count(read) - count(filled) },
    vocabulary: (model?.vocabulary ?? GPT2_VOCABULARY).fingerprint,
    maxLength,
    source: sources.map(sourceName).join(", "),
    origin,
  };
}

function splitSentences(
  all: readonly Sentence[],
  split: TaggedOptions["split"],
  fractions: readonly number[],
  seed: number,
): Sentence[][] {
  const parts = cutParts(split === "ordered" ? [...all] : new Rng(seed).shuffle([...all]), fractions);
  checkParts(parts, all.length, fractions);
  return parts;
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
    expected: 'lines of a word and its tag, or of {"tokens": [...], "tags": [...]}',
  });

function readSentences(source: DataSource, options: TaggedOptions): Promise<Sentence[]> {
  return whileOpen(source, async (file) => {
    const text = new TextDecoder().decode(await readText(file, options.encoding));
    const isJson = tableFormat(file.name)?.format === "jsonl";
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

function* readRows(text: string, file: string, options: TaggedOptions): Generator<Omit<Sentence, "place">> {
  for (const { row, where } of parseRows(text, file)) yield readRow(row, where, options);
}

function readRow(row: Row, where: string, options: TaggedOptions): Omit<Sentence, "place"> {
  const { textColumn, labelColumn, groupColumn } = options;
  const words = readList(row, textColumn, WORD_KEYS, "words", where);
  const tags = readList(row, labelColumn, TAG_KEYS, "tags", where);
  const group = groupColumn === undefined ? undefined : String(valueAt(row, groupColumn) ?? "") || undefined;
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
