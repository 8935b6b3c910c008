/** Text generation: prompts share the slots of a decoder; each round adds a token to every sequence. */

import { checkOptions, type Kind } from "../arguments.ts";
import { textContext } from "../config.ts";
import type { DecodeStream, Tokenizer } from "../data/tokenizer.ts";
import type { Chunk, Decoder } from "../engine/decoder.ts";
import { ConfigError } from "../errors.ts";
import { checkNumber } from "../number-range.ts";
import { Rng } from "../rng.ts";
import { checkSampling, GREEDY, Sampler, type SamplingOptions } from "./sampling.ts";
import { StopStrings } from "./stop-strings.ts";

/** Options of `LanguageModel.generate` and `complete`; greedy decoding by default. */
export interface GenerateOptions extends Partial<SamplingOptions> {
  /** The most new tokens for each prompt; default 50. */
  maxNewTokens?: number;
  /** The text ends before the first of these strings. */
  stop?: string | readonly string[];
  /** Seed of the sampling; default 1. Prompt i's numbers depend on the seed and i alone, not on the other prompts. */
  seed?: number;
  /** Ends the generation and throws its reason. */
  signal?: AbortSignal;
}

/** Why a text ends: <|endoftext|>, a stop string, or `maxNewTokens`. */
export type FinishReason = "end" | "stop" | "length";

/** The new text of one prompt since its last chunk: whole characters. */
export interface GenerationChunk {
  /** Index of the prompt, from 0. */
  prompt: number;
  text: string;
  /** The new tokens, with the one that ended the text. `text` may lag behind them, as some text is held back. */
  ids: number[];
  /** In the last chunk of a prompt. */
  finish?: FinishReason;
  /** After the context overflowed: how many of the oldest tokens have been dropped so far. */
  forgotten?: number;
}

const MAX_NEW_TOKENS = 50;

const OPTIONS = {
  temperature: "number?",
  topK: "number?",
  topP: "number?",
  repetitionPenalty: "number?",
  maxNewTokens: "number?",
  stop: "text or texts?",
  seed: "number?",
  signal: "signal?",
} as const satisfies Record<keyof GenerateOptions, Kind>;

interface GenerationSettings {
  sampling: SamplingOptions;
  maxNewTokens: number;
  stop: readonly string[];
  seed: number;
}

function parseOptions(options: GenerateOptions): GenerationSettings {
  checkOptions("options", options, OPTIONS);
  const { maxNewTokens = MAX_NEW_TOKENS, stop = [], seed = 1, signal: _, ...rest } = options;
  const set = Object.entries(rest).filter(([, value]) => value !== undefined);
  const sampling = { ...GREEDY, ...Object.fromEntries(set) };
  checkSampling(sampling);
  checkNumber("maxNewTokens", maxNewTokens, { min: 1, whole: true });
  checkNumber("seed", seed, { min: 0, whole: true });
  const strings = typeof stop === "string" ? [stop] : stop;
  if (strings.includes(""))
    throw new ConfigError("invalid-value", "a stop string is empty", { expected: "one character or more" });
  return { sampling, maxNewTokens, stop: strings, seed };
}

/**
 * Generates text for prompts and yields it in chunks. A prompt waits until a slot is free, so that there may be more
 * prompts than slots. Throws ConfigError for invalid options.
 */
export async function* generate(
  decoder: Decoder,
  tokenizer: Tokenizer,
  prompts: readonly string[],
  options: GenerateOptions = {},
): AsyncGenerator<GenerationChunk, void, void> {
  const settings = parseOptions(options);
  const { capacity, spec } = decoder.plan;
  const { vocab_size } = spec.config;
  const context = textContext(spec.config, spec);
  const waiting = prompts.map(
    (text, prompt) => new Sequence(prompt, tokenizer.encode(text), tokenizer, context, settings),
  );
  const slots: (Sequence | undefined)[] = new Array(capacity.sequences).fill(undefined);
  for (;;) {
    for (let slot = 0; slot < slots.length; slot++) slots[slot] ??= waiting.shift();
    const sequences = [...slots.entries()].filter((entry): entry is [number, Sequence] => entry[1] !== undefined);
    if (sequences.length === 0) return;
    const [fresh, going] = [true, false].map((isFresh) =>
      sequences.filter(([, sequence]) => sequence.isFresh === isFresh),
    );
    for (const group of [fresh!, going!]) {
      if (group.length === 0) continue;
      options.signal?.throwIfAborted();
      const chunks = group.map(([slot, sequence]) => sequence.nextChunk(slot));
      const logits = await (group === fresh ? decoder.prefill(chunks) : decoder.decode(chunks));
      for (const [i, [slot, sequence]] of group.entries()) {
        // A padded token table has ids beyond the tokenizer's, which have no text.
        const row = logits.subarray(i * vocab_size, i * vocab_size + Math.min(vocab_size, tokenizer.vocabSize));
        const chunk = sequence.take(row);
        if (chunk?.finish !== undefined) slots[slot] = undefined;
        if (chunk) yield chunk;
      }
    }
  }
}

/** One prompt and its new tokens. */
class Sequence {
  private readonly tokens: number[];
  private readonly seen: Set<number>;
  private readonly sampler: Sampler;
  private readonly decoded: DecodeStream;
  private readonly stops: StopStrings;
  /** Tokens in the cache, and those to be written next. */
  private position = 0;
  private pending: number[] = [];
  private forgotten = 0;
  private count = 0;
  /** New since the last chunk. */
  private pending_: Pick<GenerationChunk, "ids" | "forgotten"> = { ids: [] };

  constructor(
    private readonly prompt: number,
    ids: Uint32Array,
    private readonly tokenizer: Tokenizer,
    private readonly context: number,
    private readonly settings: GenerationSettings,
  ) {
    // An empty prompt starts as a document does.
    this.tokens = ids.length > 0 ? [...ids] : [tokenizer.endOfText];
    this.seen = new Set(this.tokens);
    this.sampler = new Sampler(settings.sampling, new Rng(settings.seed ^ Math.imul(prompt, 0x85ebca6b)));
    this.decoded = tokenizer.decodeStream();
    this.stops = new StopStrings(settings.stop);
    this.restart(context);
  }

  /** Whether none of its tokens is in the cache. */
  get isFresh(): boolean {
    return this.position === 0;
  }

  /** The tokens to write into the cache next. */
  nextChunk(slot: number): Chunk {
    const stretch = { slot, position: this.position, ids: this.pending };
    this.position += this.pending.length;
    return stretch;
  }

  /** Chooses the next token from logits; returns a chunk if there is new text to report. */
  take(logits: Float32Array): GenerationChunk | null {
    const id = this.sampler.pick(logits, this.seen);
    this.tokens.push(id);
    this.seen.add(id);
    this.pending_.ids.push(id);
    this.count++;
    let text = id === this.tokenizer.endOfText ? "" : this.stops.push(this.decoded.push(id));
    const finish = this.finishReason(id);
    if (finish === "end" || finish === "length") text += this.stops.push(this.decoded.end()) + this.stops.end();
    else if (finish === undefined) this.advance(id);
    if (text === "" && finish === undefined && this.pending_.forgotten === undefined) return null;
    const chunk: GenerationChunk = {
      prompt: this.prompt,
      text,
      ...this.pending_,
      ...(finish === undefined ? {} : { finish }),
    };
    this.pending_ = { ids: [] };
    return chunk;
  }

  private finishReason(id: number): FinishReason | undefined {
    if (id === this.tokenizer.endOfText) return "end";
    if (this.stops.stopped) return "stop";
    return this.count === this.settings.maxNewTokens ? "length" : undefined;
  }

  private advance(id: number): void {
    if (this.position < this.context) this.pending = [id];
    // The context is full. Positions are absolute, so that all tokens that stay are computed again: half of them, not
    // all but one.
    else this.restart(Math.max(1, this.context >> 1));
  }

  /** Continues from the last `keep` tokens, with an empty cache. */
  private restart(keep: number): void {
    this.position = 0;
    this.pending = this.tokens.slice(-keep);
    const forgotten = this.tokens.length - this.pending.length;
    if (forgotten > this.forgotten) {
      this.forgotten = forgotten;
      this.pending_.forgotten = forgotten;
    }
  }
}
