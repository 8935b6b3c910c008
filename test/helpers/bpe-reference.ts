/**
 * GPT-2's encoding straight from its definition, slow and independent of the program: the splitting pattern as a
 * regular expression, and merges by name out of merges.txt, one at a time.
 */
import { readFile } from "node:fs/promises";
import { packagePath } from "#platform";

/** Splits a text into the pieces that are merged. */
export type SplitText = (text: string) => string[];

/** JavaScript's \s holds U+FEFF and lacks U+0085; the pattern means Unicode White_Space. */
const PATTERN =
  /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

const splitGpt2: SplitText = (text) => text.match(PATTERN) ?? [];

/**
 * Llama 3's pattern, with that of its numbers. JavaScript has no (?i:...) everywhere; a long s is an s without case.
 */
const wordsAnd = (numbers: string): SplitText => {
  const ending = "'(?:[sSſtTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
  const signs = "[^\\p{White_Space}\\p{L}\\p{N}]";
  const spaces = "\\p{White_Space}*[\\r\\n]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";
  const pattern = `${ending}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?${signs}+[\\r\\n]*|${spaces}`;
  return (text) => text.match(new RegExp(pattern, "gu")) ?? [];
};

/** The other splits, by the names of src/io/tokenizer/pretokenizers.ts. */
export const SPLITS: Readonly<Record<string, SplitText>> = {
  smollm: (text) => text.split(/(\p{N})/u).flatMap(splitGpt2),
  "llama-bpe": wordsAnd("\\p{N}{1,3}"),
  qwen2: wordsAnd("\\p{N}"),
};

export class ReferenceTokenizer {
  /** The token of each id, in the letters that stand for bytes in GPT-2's files. */
  readonly tokens: string[];
  /** The letter that stands for each byte. */
  readonly letters: string[];
  private readonly ids: Map<string, number>;
  private readonly ranks: Map<string, number>;

  private constructor(
    vocabulary: Record<string, number>,
    merges: string[],
    private readonly split = splitGpt2,
  ) {
    this.ids = new Map(Object.entries(vocabulary));
    this.ranks = new Map(merges.map((merge, rank) => [merge, rank]));
    this.tokens = [];
    for (const [token, id] of this.ids) this.tokens[id] = token;
    let spare = 256;
    this.letters = Array.from({ length: 256 }, (_, byte) =>
      this.ids.has(String.fromCharCode(byte)) ? String.fromCharCode(byte) : String.fromCharCode(spare++),
    );
  }

  static async load(): Promise<ReferenceTokenizer> {
    const read = (name: string) => readFile(packagePath(`data/models/gpt2-micro/${name}`), "utf8");
    const [vocabulary, merges] = [JSON.parse(await read("vocab.json")), await read("merges.txt")];
    return new ReferenceTokenizer(vocabulary, merges.trimEnd().split("\n").slice(1));
  }

  /** Of any vocabulary that has all bytes. */
  static of(vocabulary: Record<string, number>, merges: string[], split?: SplitText): ReferenceTokenizer {
    return new ReferenceTokenizer(vocabulary, merges, split);
  }

  /** The ids of a text, `<|endoftext|>` being text like any other. */
  encode(text: string): number[] {
    return this.split(text.toWellFormed()).flatMap((piece) => this.merge(new TextEncoder().encode(piece)));
  }

  /** The ids of one piece. */
  private merge(piece: Uint8Array): number[] {
    const symbols = Array.from(piece, (byte) => this.letters[byte]!);
    const rankAt = (i: number) => this.ranks.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Number.POSITIVE_INFINITY;
    // Of each symbol with the next one; the last symbol has none.
    const ranks = symbols.map((_, i) => rankAt(i));
    for (;;) {
      const at = ranks.indexOf(ranks.reduce((a, b) => Math.min(a, b)));
      if (ranks[at] === Number.POSITIVE_INFINITY) return symbols.map((symbol) => this.ids.get(symbol)!);
      symbols.splice(at, 2, symbols[at]! + symbols[at + 1]!);
      ranks.splice(at, 2, rankAt(at));
      if (at > 0) ranks[at - 1] = rankAt(at - 1);
    }
  }

  /** The bytes of an ordinary id. */
  bytes(id: number): Uint8Array {
    return Uint8Array.from(this.tokens[id]!, (letter) => this.letters.indexOf(letter));
  }
}
