/**
 * Training data of a language model: blocks of tokens with their targets. A text is split into consecutive blocks; a
 * prompt with its completion is one block.
 */
import type { Units } from "../../tasks/lm/lm-training.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { type TokenBatch, TokenSet } from "./token-set.ts";

/** Counts of the blocks of a language model's set. */
export interface BlockStats {
  /** Blocks. */
  rows: number;
  /** Documents, or prompts with their completions. */
  documents: number;
  /** Targets, including <|endoftext|>. */
  tokens: number;
  /** UTF-8 bytes of the text of these tokens; <|endoftext|> has none. */
  bytes: number;
  /** Completions that were truncated, in the prompt or in the completion, to maxLength. */
  cut: number;
}

/**
 * Consecutive tokens: the model reads all but the last; `tokens[from]` and later ones are targets, with `from` >= 1.
 */
interface TokenBlock {
  tokens: Uint32Array<ArrayBuffer>;
  from: number;
  bytes: number;
  /** Of a completion: see `Completion`. */
  completes?: Pick<Completion, "message">;
}

/** The beginning of a text, and how the text goes on. */
export interface Beginning {
  prompt: string;
  rest: string;
}

/** With fewer documents than this, blocks are drawn instead: they say too little about how documents differ. */
const FEWEST_DOCUMENTS = 20;

/** The tokens of a text's beginning that are a prompt. */
const PROMPT_TOKENS = 12;

export interface BlockOptions {
  /** The longest block, in tokens that the model reads. */
  length: number;
  /** Tokens between the starts of two blocks of a text: 1 to `length`. */
  stride: number;
  /** Of the base model that reads them. */
  tokenizer: Tokenizer;
}

/** Token ids of a prompt, which is only read, and its completion, which is the target. */
export interface Completion {
  prompt: Uint32Array;
  completion: Uint32Array;
  /** Of a chat: the message that it answers; null: there are more before it. */
  message?: string | null;
}

/** Texts as blocks of tokens of equal length: a set of a language model's data. */
export class Blocks extends TokenSet {
  /** `documents`: the number of targets of each document, in the order of the blocks. */
  private constructor(
    private readonly blocks: readonly TokenBlock[],
    private readonly documents: readonly number[],
    private readonly cut: number,
    private readonly tokenizer: Tokenizer,
  ) {
    super(Uint32Array.from(blocks, ({ tokens }) => tokens.length - 1));
  }

  /**
   * Packs documents into one stream, with <|endoftext|> before each and after the last (only after each if they begin
   * with a token of their own, as Llama 3's), and splits it into blocks of `length` that start `stride` tokens apart.
   * Every token but the first is a target once, in the first block that contains the token before it. After the first
   * block every target therefore has at least `length - stride` tokens of context.
   */
  static pack(documents: readonly Uint32Array[], { length, stride, tokenizer }: BlockOptions): Blocks {
    const lead = tokenizer.beginOfText === null ? 1 : 0;
    const total = documents.reduce((sum, ids) => sum + ids.length + 1, lead);
    const stream = new Uint32Array(total).fill(tokenizer.endOfText);
    let at = lead;
    for (const ids of documents) {
      stream.set(ids, at);
      at += ids.length + 1;
    }
    const blocks: TokenBlock[] = [];
    const last = stream.length - 1;
    for (let start = 0, done = 0; done < last; start += stride) {
      const end = Math.min(start + length, last);
      blocks.push(block(stream.subarray(start, end + 1), done - start + 1, tokenizer));
      done = end;
    }
    // The <|endoftext|> after a document is its last target; the first token of all is none.
    const counts = documents.map((ids, i) => ids.length + (i > 0 ? 1 : lead));
    return new Blocks(blocks, counts, 0, tokenizer);
  }

  /**
   * One block for each prompt with its completion and an <|endoftext|>; the prompt is not a target. An empty prompt is
   * replaced by <|endoftext|>. If both together exceed `length`, the prompt loses its first tokens, then the completion
   * its last.
   */
  static complete(rows: readonly Completion[], { length, tokenizer }: Omit<BlockOptions, "stride">): Blocks {
    let cut = 0;
    const { endOfText } = tokenizer;
    const blocks = rows.map(({ prompt, completion, ...completes }) => {
      const before = prompt.length > 0 ? prompt : Uint32Array.of(endOfText);
      const excess = Math.max(0, before.length + completion.length - length);
      if (excess > 0) cut++;
      const kept = before.subarray(Math.min(excess, before.length - 1));
      const tokens = new Uint32Array(kept.length + completion.length + 1).fill(endOfText);
      tokens.set(kept);
      tokens.set(completion, kept.length);
      return { ...block(tokens.slice(0, length + 1), kept.length, tokenizer), completes };
    });
    const counts = blocks.map(countTargets);
    return new Blocks(blocks, counts, cut, tokenizer);
  }

  override batch(order: ArrayLike<number>): TokenBatch {
    const packed = super.batch(order);
    return { ...packed, bytes: packed.positions.reduce((sum, i) => sum + this.blocks[i]!.bytes, 0) };
  }

  protected write(i: number, ids: Uint32Array, targets: Int32Array): void {
    const { tokens, from } = this.blocks[i]!;
    ids.set(tokens.subarray(0, -1));
    targets.set(tokens.subarray(from), from - 1);
  }

  /** Counts. */
  stats(): BlockStats {
    const sum = (of: (one: TokenBlock) => number) => this.blocks.reduce((total, one) => total + of(one), 0);
    return {
      rows: this.size,
      documents: this.documents.length,
      tokens: sum(countTargets),
      bytes: sum(({ bytes }) => bytes),
      cut: this.cut,
    };
  }

  /** The documents, or, of fewer than 20, the blocks. */
  units(): Units {
    const { blocks, documents, tokenizer } = this;
    if (documents.length < FEWEST_DOCUMENTS)
      return { of: "blocks", tokens: blocks.map(countTargets), bytes: blocks.map(({ bytes }) => bytes) };
    const targets = new Uint32Array(documents.reduce((sum, count) => sum + count, 0));
    let end = 0;
    for (const { tokens, from } of blocks) {
      targets.set(tokens.subarray(from), end);
      end += tokens.length - from;
    }
    let start = 0;
    const bytes = documents.map((count) => {
      start += count;
      return countTextBytes(targets.subarray(start - count, start), tokenizer);
    });
    return { of: "documents", tokens: [...documents], bytes };
  }

  /** Of some blocks from everywhere a prompt, and at most `length` tokens of what follows it. */
  beginnings(count: number, length: number): Beginning[] {
    const { blocks, tokenizer } = this;
    const { beginOfText, endOfText } = tokenizer;
    const decode = (ids: Uint32Array<ArrayBuffer>) =>
      tokenizer.decode(ids.filter((id) => id !== endOfText && id !== beginOfText));
    const shown = blocks.filter(({ completes }) => completes?.message !== null);
    const apart = Math.max(1, Math.floor(shown.length / count));
    const some = shown.filter((_, i) => i % apart === 0).slice(0, count);
    return some.map(({ tokens, from, completes }) => {
      const start = completes ? from : Math.min(PROMPT_TOKENS, tokens.length >> 1);
      const prompt = completes?.message ?? decode(tokens.slice(0, start));
      return { prompt, rest: decode(tokens.slice(start, start + length)) };
    });
  }

  first(count: number): Blocks {
    return new Blocks(this.blocks.slice(0, count), [], 0, this.tokenizer);
  }
}

const countTargets = ({ tokens, from }: TokenBlock) => tokens.length - from;

function block(tokens: Uint32Array<ArrayBuffer>, from: number, tokenizer: Tokenizer): TokenBlock {
  return { tokens, from, bytes: countTextBytes(tokens.subarray(from), tokenizer) };
}

function countTextBytes(tokens: Uint32Array<ArrayBuffer>, tokenizer: Tokenizer): number {
  const { beginOfText, endOfText } = tokenizer;
  return tokenizer.decodeBytes(tokens.filter((id) => id !== endOfText && id !== beginOfText)).length;
}
