/** Words of sentences as tokens. */
import type { Tokenizer } from "../tokenizer.ts";

/** A sentence as a model reads it. */
export interface EncodedWords {
  /** Token ids, at most as many as asked for. */
  ids: Uint32Array<ArrayBuffer>;
  /** The first token of each word; words that do not fit have none. */
  firsts: Uint32Array<ArrayBuffer>;
}

/**
 * Encodes words, each with a space before it, the first too: the ids are those of transformers' fast tokenizers with
 * `add_prefix_space` and `is_split_into_words`. An empty sentence is one <|endoftext|> without words, or what is around
 * every text.
 */
export class WordEncoder {
  private readonly known = new Map<string, Uint32Array>();

  constructor(private readonly tokenizer: Tokenizer) {}

  encode(words: readonly string[], most: number): EncodedWords {
    const { beginOfText, endOfText, closesTexts } = this.tokenizer;
    const ids: number[] = beginOfText === null ? [] : [beginOfText];
    const firsts: number[] = [];
    if (closesTexts) most--;
    for (const word of words) {
      if (ids.length >= most) break;
      firsts.push(ids.length);
      // A call with as many arguments as a long word has tokens fails.
      for (const id of this.tokens(word)) ids.push(id);
    }
    ids.length = Math.min(ids.length, most);
    if (closesTexts || ids.length === 0) ids.push(endOfText);
    return { ids: Uint32Array.from(ids), firsts: Uint32Array.from(firsts) };
  }

  private tokens(word: string): Uint32Array {
    let ids = this.known.get(word);
    if (!ids) {
      ids = this.tokenizer.encode(` ${word}`, { addSpecialTokens: false });
      this.known.set(word, ids);
    }
    return ids;
  }
}

/** A word of a text, and where it is there, in UTF-16 units. */
export interface Word {
  text: string;
  start: number;
  end: number;
}

/** What English puts behind a word: "'s", "'ll"; "n't" is one with its n. */
const CLITIC = "['’](?:s|m|d|ll|re|ve)(?!\\p{L})";
const NOT = "n['’]t(?!\\p{L})";
const LETTERS = `(?:(?!${NOT})[\\p{L}\\p{M}\\p{N}])+`;

/** Between letters and digits of a word: "e-mail", "O'Brien", "12,345". */
const BETWEEN = `[-.@_/]|(?!${CLITIC})['’](?=\\p{L})|(?<=\\p{N})[,:](?=\\p{N})`;
/** "U.S.", "..." and "--". */
const SIGNS = "(?:\\p{L}\\.){2,}(?!\\p{L})|\\.{2,}|-{2,}";
const WORD = new RegExp(`${NOT}|${CLITIC}|${SIGNS}|${LETTERS}(?:(?:${BETWEEN})${LETTERS})*|\\S`, "giu");

/** Divides a text into words about as the Penn Treebank and most corpora with a tag a word: "John's (new) car." has 7. */
export function splitWords(text: string): Word[] {
  return [...text.matchAll(WORD)].map(({ 0: word, index }) => ({ text: word, start: index, end: index + word.length }));
}
