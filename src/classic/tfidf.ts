/**
 * TF-IDF of a message's words (1 and 2) and characters (2 to 5, within a word and the spaces around it), as
 * scikit-learn's TfidfVectorizer has them by default, with `analyzer="char_wb"` for the characters: in lower case,
 * counts times ln((1 + rows) / (1 + rows that have it)) + 1, then length 1 for the words and for the characters of a
 * message. Those of the two texts of a pair are different n-grams: they have two vocabularies of each kind.
 */
import { nextTurn } from "#platform";
import { FormatError } from "../core/errors.ts";
import type { TextOrPair } from "../core/pair.ts";

/** Sparse rows [rows, width]. */
export interface SparseRows {
  width: number;
  /** Where each row begins, and the end of the last one. */
  starts: Uint32Array;
  columns: Uint32Array;
  values: Float32Array;
}

/** N-grams, and how many of the training rows have each. */
export interface Ngrams {
  ngrams: string[];
  rows: number[];
}

export function* setTexts(set: { text(row: number): TextOrPair }, rows: Iterable<number>): Generator<TextOrPair> {
  for (const row of rows) yield set.text(row);
}

/** Limits the memory: training rows after as many entries are not read. */
export const MOST_ENTRIES = 1 << 24;
/** Rows after which a run that was aborted ends. */
const ROWS_AT_A_TIME = 256;

/** Python's `\w` twice or more, and what its `str.split()` splits at. */
const WORD = /[\p{L}\p{N}_]{2,}/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python splits at them.
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;
/** The words of a text, in lower case, as n-grams of words have them. */
export const splitWords = (text: string): string[] => text.toLowerCase().match(WORD) ?? [];

/** The lengths of n-grams, by analyzer. */
export const NGRAMS = [
  [1, 2],
  [2, 5],
] as const;
const LONGEST = NGRAMS[1][1];
/** Words follow the code points. */
const FIRST_WORD = 0x110000;

/**
 * The n-gram that follows from a shorter one and a unit: a code point or a word. 0: the empty one, and unknown ones.
 */
type Step = (prefix: number, unit: number) => number;
/** Calls `take` for each n-gram of a text in lower case. */
type Analyzer = (text: string, step: Step, take: (ngram: number) => void) => void;

/** scikit-learn's names of the analyzers, in the order of a text's vocabularies. */
export const ANALYZERS = ["word", "char_wb"] as const;

const words: Analyzer = (text, step, take) => {
  let before = 0;
  for (const [word] of text.matchAll(WORD)) {
    let own = 0;
    for (let i = 0; i < word.length && (i === 0 || own > 0); i++) own = step(own, word.charCodeAt(i));
    if (own > 0) take(own);
    if (own > 0 && before > 0) take(step(before, FIRST_WORD + own));
    before = own;
  }
};

const characters: Analyzer = (text, step, take) => {
  for (const word of text.split(SPACE)) {
    if (word === "") continue;
    const codes = Array.from(` ${word} `, (char) => char.codePointAt(0)!);
    for (let start = 0; start < codes.length - 1; start++) {
      let ngram = step(0, codes[start]!);
      const end = Math.min(codes.length, start + LONGEST);
      for (let i = start + 1; i < end && ngram > 0; i++) {
        ngram = step(ngram, codes[i]!);
        take(ngram);
      }
    }
  }
};

/**
 * The n-grams of one kind as numbers from 1. A table with open addressing, at most half full: a map of strings would
 * take several times the memory and time.
 */
class Vocabulary {
  /** By n-gram. */
  private prefixes = new Int32Array(1 << 12);
  private units = new Int32Array(1 << 12);
  /** The training rows that have it. */
  private rows = new Uint32Array(1 << 12);
  /** How often the row that is read has it. */
  private counts = new Uint32Array(1 << 12);
  /** Its column; -1: none. */
  private columns = new Int32Array();
  private idf = new Float64Array();
  private size = 1;
  /** N-grams by hash; 0: free. */
  private slots = new Int32Array(1 << 13);

  constructor(private readonly analyze: Analyzer) {}

  /** One with these n-grams, of which each is in so many of `total` rows, and columns from `first` on. */
  static of(analyze: Analyzer, { ngrams, rows }: Ngrams, total: number, first: number): Vocabulary {
    const vocabulary = new Vocabulary(analyze);
    const ids = ngrams.map((ngram) => vocabulary.read(ngram));
    vocabulary.columns = new Int32Array(vocabulary.size).fill(-1);
    vocabulary.idf = new Float64Array(vocabulary.size);
    for (const [i, id] of ids.entries()) {
      if (id === 0 || vocabulary.columns[id]! >= 0)
        throw new FormatError("invalid-vocabulary", "an n-gram is there twice, or is none", {
          found: JSON.stringify(ngrams[i]),
        });
      vocabulary.place(id, first + i, rows[i]!, total);
    }
    return vocabulary;
  }

  /** Those that have a column, in the order of the columns. */
  list(): Ngrams {
    const names: string[] = [""];
    const found: Ngrams = { ngrams: [], rows: [] };
    for (let ngram = 1; ngram < this.size; ngram++) {
      const unit = this.units[ngram]!;
      const end = unit > FIRST_WORD ? ` ${names[unit - FIRST_WORD]}` : String.fromCodePoint(unit);
      names.push(names[this.prefixes[ngram]!] + end);
      if (this.columns[ngram]! < 0) continue;
      found.ngrams.push(names[ngram]!);
      found.rows.push(this.rows[ngram]!);
    }
    return found;
  }

  /** Learns the n-grams of a training row. Returns how many different ones it has. */
  learn(text: string): number {
    const { ngrams } = this.count(text, (prefix, unit) => this.add(prefix, unit));
    for (const ngram of ngrams) this.rows[ngram]!++;
    return ngrams.length;
  }

  /** Of each number of rows, how many n-grams have at least as many. */
  spread(total: number): Uint32Array {
    const spread = new Uint32Array(total + 2);
    for (let ngram = 1; ngram < this.size; ngram++) spread[this.rows[ngram]!]!++;
    for (let rows = total; rows > 0; rows--) spread[rows]! += spread[rows + 1]!;
    return spread;
  }

  /** Gives columns from `first` to the n-grams that at least `fewest` of `total` rows have. Returns the next one. */
  finish(fewest: number, total: number, first: number): number {
    this.columns = new Int32Array(this.size).fill(-1);
    this.idf = new Float64Array(this.size);
    let column = first;
    for (let ngram = 1; ngram < this.size; ngram++) {
      const rows = this.rows[ngram]!;
      if (rows >= fewest) this.place(ngram, column++, rows, total);
    }
    return column;
  }

  private place(ngram: number, column: number, rows: number, total: number): void {
    this.columns[ngram] = column;
    this.rows[ngram] = rows;
    this.idf[ngram] = Math.log((1 + total) / (1 + rows)) + 1;
  }

  /** The number of an n-gram that a vocabulary had; 0: it is none. */
  private read(ngram: string): number {
    const follow = (units: readonly number[]) => units.reduce((prefix, unit) => this.add(prefix, unit), 0);
    if (this.analyze === characters) return follow(Array.from(ngram, (char) => char.codePointAt(0)!));
    const parts = ngram
      .split(" ")
      .map((word) => follow(Array.from({ length: word.length }, (_, i) => word.charCodeAt(i))));
    const [first, second] = parts as [number, number?];
    if (parts.length > 2 || parts.includes(0)) return 0;
    return second === undefined ? first : this.add(first, FIRST_WORD + second);
  }

  weigh(text: string, columns: number[], values: number[]): void {
    const { ngrams, counts } = this.count(text, (prefix, unit) => this.slots[this.slot(prefix, unit)]!);
    const first = values.length;
    let squares = 0;
    for (const [i, ngram] of ngrams.entries()) {
      const column = this.columns[ngram]!;
      if (column < 0) continue;
      const value = counts[i]! * this.idf[ngram]!;
      columns.push(column);
      values.push(value);
      squares += value * value;
    }
    for (let i = first; i < values.length; i++) values[i]! /= Math.sqrt(squares);
  }

  /** The n-grams of a text, each once, and how often it has them. */
  private count(text: string, step: Step): { ngrams: number[]; counts: number[] } {
    const ngrams: number[] = [];
    this.analyze(text, step, (ngram) => {
      if (ngram > 0 && this.counts[ngram]!++ === 0) ngrams.push(ngram);
    });
    const counts = ngrams.map((ngram) => this.counts[ngram]!);
    for (const ngram of ngrams) this.counts[ngram] = 0;
    return { ngrams, counts };
  }

  private add(prefix: number, unit: number): number {
    const slot = this.slot(prefix, unit);
    const known = this.slots[slot]!;
    if (known !== 0) return known;
    const ngram = this.size++;
    this.slots[slot] = ngram;
    this.prefixes[ngram] = prefix;
    this.units[ngram] = unit;
    if (this.size === this.units.length) this.grow();
    return ngram;
  }

  /** The slot of an n-gram, or the free one where it belongs. */
  private slot(prefix: number, unit: number): number {
    const mask = this.slots.length - 1;
    // MurmurHash3's last step.
    let hash = Math.imul(prefix, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    for (let slot = (hash ^ (hash >>> 16)) & mask; ; slot = (slot + 1) & mask) {
      const found = this.slots[slot]!;
      if (found === 0 || (this.prefixes[found] === prefix && this.units[found] === unit)) return slot;
    }
  }

  private grow(): void {
    const twice = <T extends Int32Array | Uint32Array>(larger: T, old: T): T => {
      larger.set(old);
      return larger;
    };
    const length = 2 * this.size;
    this.prefixes = twice(new Int32Array(length), this.prefixes);
    this.units = twice(new Int32Array(length), this.units);
    this.rows = twice(new Uint32Array(length), this.rows);
    this.counts = twice(new Uint32Array(length), this.counts);
    this.slots = new Int32Array(2 * length);
    for (let ngram = 1; ngram < this.size; ngram++)
      this.slots[this.slot(this.prefixes[ngram]!, this.units[ngram]!)] = ngram;
  }
}

const KINDS = [words, characters];
/** The vocabularies of the first text (0), or of the second (1). */
const textKinds = (kinds: readonly Vocabulary[], i: number) => kinds.slice(KINDS.length * i, KINDS.length * (i + 1));
const lowerTexts = (text: TextOrPair) => [text].flat().map((one) => one.toLowerCase());

/** Texts, or pairs of texts, as rows of n-grams. */
export class Tfidf {
  private constructor(
    /** Of words and of characters; of pairs then those of the second texts. */
    private readonly kinds: readonly Vocabulary[],
    readonly width: number,
    /** The rows that were read, and their n-grams. */
    readonly rows: number,
    readonly ngrams: number,
  ) {}

  /**
   * Learns the n-grams of training rows. Of more than `mostColumns`, those of the fewest rows are left out
   * (scikit-learn's `min_df`); rows after `mostEntries` are not read.
   */
  static async fit(
    texts: Iterable<TextOrPair>,
    mostColumns: number,
    { signal, mostEntries = MOST_ENTRIES }: { signal?: AbortSignal | undefined; mostEntries?: number } = {},
  ): Promise<Tfidf> {
    const kinds: Vocabulary[] = [];
    let [rows, entries] = [0, 0];
    for (const text of texts) {
      if (entries >= mostEntries) break;
      if (rows++ % ROWS_AT_A_TIME === 0) await turn(signal);
      for (const [i, lower] of lowerTexts(text).entries()) {
        if (kinds.length === KINDS.length * i) kinds.push(...KINDS.map((kind) => new Vocabulary(kind)));
        for (const kind of textKinds(kinds, i)) entries += kind.learn(lower);
      }
    }
    const spreads = kinds.map((kind) => kind.spread(rows));
    const countColumns = (fewest: number) => spreads.reduce((sum, spread) => sum + spread[fewest]!, 0);
    let fewest = 1;
    while (countColumns(fewest) > mostColumns) fewest++;
    const width = kinds.reduce((first, kind) => kind.finish(fewest, rows, first), 0);
    return new Tfidf(kinds, width, rows, countColumns(1));
  }

  /** One with these vocabularies, in the order of `list`, of so many training rows. */
  static of(lists: readonly Ngrams[], rows: number): Tfidf {
    let width = 0;
    const kinds = lists.map((list, i) => {
      const vocabulary = Vocabulary.of(KINDS[i % KINDS.length]!, list, rows, width);
      width += list.ngrams.length;
      return vocabulary;
    });
    return new Tfidf(kinds, width, rows, width);
  }

  /** The n-grams that have columns, by vocabulary, in the order of the columns. */
  list(): Ngrams[] {
    return this.kinds.map((kind) => kind.list());
  }

  /** Whether it reads pairs of texts. */
  get isPair(): boolean {
    return this.kinds.length > KINDS.length;
  }

  async transform(texts: Iterable<TextOrPair>, signal?: AbortSignal): Promise<SparseRows> {
    const rows: { columns: Uint32Array; values: Float32Array }[] = [];
    for (const text of texts) {
      if (rows.length % ROWS_AT_A_TIME === 0) await turn(signal);
      const [columns, values]: [number[], number[]] = [[], []];
      for (const [i, lower] of lowerTexts(text).entries())
        for (const kind of textKinds(this.kinds, i)) kind.weigh(lower, columns, values);
      rows.push({ columns: new Uint32Array(columns), values: new Float32Array(values) });
    }
    const starts = new Uint32Array(rows.length + 1);
    for (const [i, { columns }] of rows.entries()) starts[i + 1] = starts[i]! + columns.length;
    const all = { columns: new Uint32Array(starts.at(-1)!), values: new Float32Array(starts.at(-1)!) };
    for (const [i, { columns, values }] of rows.entries()) {
      all.columns.set(columns, starts[i]);
      all.values.set(values, starts[i]);
    }
    return { width: this.width, starts, ...all };
  }
}

async function turn(signal?: AbortSignal): Promise<void> {
  await nextTurn();
  signal?.throwIfAborted();
}
