/**
 * Text generation: prompts share the slots of a decoder; each round adds some tokens to every sequence. The device
 * chooses them, and the host reads those of a round together: a read can take longer than a token (100 ms in Firefox).
 * What the device made behind the end of a text is thrown away.
 */

import { checkNumber, type FieldKind, isListOf, isText, type Kind } from "../../core/checks.ts";
import { textContext } from "../../core/config.ts";
import { ConfigError, DataError } from "../../core/errors.ts";
import type { Chat, Message } from "../../data/text/chat.ts";
import type { DecodeStream, Tokenizer } from "../../data/tokenizer.ts";
import type { Decoder, SampledChunk } from "../../engine/decoder.ts";
import { NOT_FINITE } from "../../ops/sample.ts";
import { RunLength } from "./run-length.ts";
import { checkSampling, drawOptions, GREEDY, type SamplingOptions } from "./sampling.ts";
import { StopStrings } from "./stop-strings.ts";

/** A text to continue, or the messages of a chat so far, which the model answers by its chat template. */
export type Prompt = string | readonly Message[];

export const PROMPTS: Kind = [
  "a string, or an array of strings and of lists of messages",
  (value) => isText(value) || isListOf(value, (one) => isText(one) || Array.isArray(one)),
];

/** Options of `LanguageModel.generate` and `complete`; greedy decoding by default. */
export interface GenerateOptions extends Partial<SamplingOptions> {
  /** The most new tokens for each prompt; default 50. */
  maxNewTokens?: number;
  /** The text ends before the first of these strings. Default: none. */
  stop?: string | readonly string[];
  /**
   * Whether a prompt that is a string is a user's message, put into the model's chat template; the answer ends with the
   * token that ends one there. Default false: it is continued.
   */
  chat?: boolean;
  /** Seed of the sampling; default 1. The numbers of prompt i depend on the seed and i alone. */
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
  /** In the first chunk of a chat that is longer than the context: how many of its oldest messages were left out. */
  omitted?: number;
}

/** The generated text of a prompt. */
export interface Completion {
  text: string;
  /** The new tokens, with the one that ended the text. */
  ids: number[];
  finish: FinishReason;
  /** How many of the oldest tokens were dropped because the context overflowed; 0: none. */
  forgotten: number;
  /** How many of a chat's oldest messages were left out because it is longer than the context; 0: none. */
  omitted: number;
}

/** The complete text of each prompt. */
export async function joinChunks(
  prompts: readonly Prompt[],
  chunks: AsyncIterable<GenerationChunk>,
): Promise<Completion[]> {
  const done = prompts.map((): Completion => ({ text: "", ids: [], finish: "length", forgotten: 0, omitted: 0 }));
  for await (const { prompt, text, ids, finish, forgotten, omitted } of chunks) {
    const completion = done[prompt]!;
    completion.text += text;
    completion.ids.push(...ids);
    completion.finish = finish ?? completion.finish;
    completion.forgotten = forgotten ?? completion.forgotten;
    completion.omitted = omitted ?? completion.omitted;
  }
  return done;
}

const MAX_NEW_TOKENS = 50;

export const GENERATE_OPTIONS = {
  temperature: "number?",
  topK: "number?",
  topP: "number?",
  repetitionPenalty: "number?",
  maxNewTokens: "number?",
  stop: "text or texts?",
  chat: "boolean?",
  seed: "number?",
  signal: "signal?",
} as const satisfies Record<keyof GenerateOptions, FieldKind>;

interface GenerationSettings {
  sampling: SamplingOptions;
  maxNewTokens: number;
  stop: readonly string[];
  seed: number;
}

function parseOptions(options: GenerateOptions): GenerationSettings {
  const { maxNewTokens = MAX_NEW_TOKENS, stop = [], seed = 1, chat: _, signal: __, ...rest } = options;
  const set = Object.entries(rest).filter(([, value]) => value !== undefined);
  const sampling = { ...GREEDY, ...Object.fromEntries(set) };
  checkSampling(sampling);
  checkNumber("maxNewTokens", maxNewTokens, { min: 1, whole: true });
  checkNumber("seed", seed, { min: 0, whole: true });
  const strings = [stop].flat();
  if (strings.includes(""))
    throw new ConfigError("invalid-value", "a stop string is empty", { expected: "one character or more" });
  return { sampling, maxNewTokens, stop: strings, seed };
}

/** A decoder in place of one that has failed. Throws the error if there is none. */
export type ReplaceDecoder = (error: unknown) => Promise<Decoder>;

const irreplaceable: ReplaceDecoder = async (error) => {
  throw error;
};

/**
 * Generates text for prompts and yields it in chunks. A prompt waits until a slot is free, so that there may be more
 * prompts than slots. If the decoder fails, its texts continue on the one that `replace` gives. Throws ConfigError for
 * invalid options.
 */
export async function* generate(
  first: Decoder,
  tokenizer: Tokenizer,
  prompts: readonly Prompt[],
  options: GenerateOptions = {},
  replace = irreplaceable,
): AsyncGenerator<GenerationChunk, void, void> {
  const settings = parseOptions(options);
  let decoder = first;
  const { config } = decoder.plan.spec;
  const limits = {
    context: textContext(config, decoder.plan.spec),
    // A padded token table has ids beyond the tokenizer's, which have no text.
    choices: Math.min(config.vocab_size, tokenizer.vocabSize),
  };
  const isContinued = (prompt: Prompt): prompt is string => isText(prompt) && !options.chat;
  const chat = prompts.every(isContinued) ? null : await openChat(tokenizer, settings);
  const waiting = prompts.map((prompt, i) => {
    if (isContinued(prompt)) return new Sequence(i, tokenizer.encode(prompt), tokenizer, limits, settings);
    const messages = isText(prompt) ? [{ role: "user", content: prompt }] : prompt;
    // With room for an answer.
    const most = limits.context - Math.min(settings.maxNewTokens, limits.context >> 2);
    const { ids, omitted } = chat!.promptWithin(messages, most, `prompts[${i}]`);
    return new Sequence(i, ids, tokenizer, limits, settings, omitted);
  });
  const slots: (Sequence | undefined)[] = new Array(decoder.plan.capacity.sequences).fill(undefined);
  let length = new RunLength(decoder.answerTime());
  for (;;) {
    takeSlots(decoder, waiting, slots);
    const rows = slots.flatMap((sequence, slot): SlotRow[] => (sequence ? [{ sequence, slot }] : []));
    if (rows.length === 0) return;
    options.signal?.throwIfAborted();
    try {
      for await (const step of runRound(decoder, rows, length))
        for (const { sequence, slot, id } of step) {
          options.signal?.throwIfAborted();
          // What lies behind the end of a text is no part of it.
          if (slots[slot] !== sequence) continue;
          const chunk = sequence.take(id);
          if (chunk?.finish !== undefined) {
            slots[slot] = undefined;
            decoder.holdChosen(slot, sequence.written);
          }
          if (chunk) yield chunk;
        }
    } catch (error) {
      decoder = await replace(error);
      length = new RunLength(decoder.answerTime());
      for (const { sequence } of rows) sequence.repeat();
    }
  }
}

/** The sequences that wait begin in the slots that are free. */
function takeSlots(decoder: Decoder, waiting: Sequence[], slots: (Sequence | undefined)[]): void {
  while (waiting.length > 0) {
    const free = [...slots.keys()].filter((slot) => slots[slot] === undefined);
    if (free.length === 0) return;
    const sequence = waiting.shift()!;
    slots[decoder.chooseSlot(sequence.unread, free)] = sequence;
  }
}

/** The model's chats, whose answers end the texts. Throws ConfigError if it has no template. */
async function openChat(tokenizer: Tokenizer, settings: GenerationSettings): Promise<Chat> {
  const { Chat } = await import("../../data/text/chat.ts");
  const chat = new Chat(tokenizer);
  const end = chat.findEnd();
  if (end !== null) settings.stop = [...settings.stop, end];
  return chat;
}

/** A sequence in a slot. */
interface SlotRow {
  sequence: Sequence;
  slot: number;
}

/**
 * The new tokens of sequences, a step at a time: first those that begin, then a run of all. Both are submitted at once,
 * and read one after the other, so that the first token of a text does not wait for the run.
 */
async function* runRound(
  decoder: Decoder,
  rows: readonly SlotRow[],
  length: RunLength,
): AsyncGenerator<(SlotRow & { id: number })[], void, void> {
  const steps = Math.min(length.steps, ...rows.map(({ sequence }) => sequence.room));
  const begun = performance.now();
  const all = rows.map((row, to) => ({ ...row, to }));
  const fresh = all.filter(({ sequence }) => sequence.isFresh);
  for (const { sequence, slot } of fresh) if (sequence.marksSeen) decoder.markSeen(slot, sequence.tokens);
  const first = fresh.length > 0 && stamp(decoder.sampleFirst(fresh.map((row) => row.sequence.firstChunk(row))));
  const next =
    steps > 0 &&
    stamp(
      decoder.sampleNext(
        all.map((row) => row.sequence.nextChunk(row)),
        steps,
      ),
    );
  // The caller may leave before the run is read.
  if (next) next.catch(() => {});
  if (first) {
    const { result } = await first;
    yield fresh.map((row) => ({ ...row, id: result[row.to]! }));
  }
  if (!next) return;
  const { result, at } = await next;
  length.measure(steps, at - (first ? (await first).at : begun), first !== false);
  for (const ids of result) yield all.map((row) => ({ ...row, id: ids[row.to]! }));
}

/** A result, and when it arrived. */
async function stamp<T>(pending: Promise<T>): Promise<{ result: T; at: number }> {
  return { result: await pending, at: performance.now() };
}

/** One prompt and its new tokens. */
class Sequence {
  /** All tokens, those of the prompt first. */
  readonly tokens: number[];
  private readonly decoded: DecodeStream;
  private readonly stops: StopStrings;
  /** Tokens in the cache, and those to be written next. */
  private position = 0;
  unread: number[] = [];
  private forgotten = 0;
  private count = 0;
  /** New since the last chunk. */
  private unreported: Pick<GenerationChunk, "ids" | "forgotten" | "omitted"> = { ids: [] };

  constructor(
    private readonly prompt: number,
    ids: Uint32Array,
    private readonly tokenizer: Tokenizer,
    private readonly limits: { context: number; choices: number },
    private readonly settings: GenerationSettings,
    omitted = 0,
  ) {
    if (omitted > 0) this.unreported.omitted = omitted;
    // An empty prompt starts as a document does.
    this.tokens = ids.length > 0 ? [...ids] : [tokenizer.endOfText];
    this.decoded = tokenizer.decodeStream();
    this.stops = new StopStrings(settings.stop);
    this.restart(limits.context);
  }

  /** Whether none of its tokens is in the cache. */
  get isFresh(): boolean {
    return this.position === 0;
  }

  /** The tokens in the cache. */
  get written(): number[] {
    return this.tokens.slice(this.forgotten, this.forgotten + this.position);
  }

  /** Whether the device is told which tokens the text has. */
  get marksSeen(): boolean {
    return this.settings.sampling.repetitionPenalty !== 1;
  }

  /** The most tokens of the next run: until the text or the context ends. One that begins has one more before it. */
  get room(): number {
    const { isFresh, position, unread, count, limits, settings } = this;
    return Math.min(
      settings.maxNewTokens - count - Number(isFresh),
      limits.context - position - (isFresh ? unread.length : 0),
    );
  }

  /** The tokens that begin it. */
  firstChunk({ slot, to }: { slot: number; to: number }): SampledChunk {
    return { slot, position: 0, ids: this.unread, draw: this.draw(to, this.count) };
  }

  /** Where a run of tokens continues: behind the first chunk, if that is new, with a token that only the device has. */
  nextChunk({ slot, to }: { slot: number; to: number }): SampledChunk {
    const { isFresh, position, unread, count } = this;
    if (isFresh) return { slot, position: unread.length, ids: [], draw: this.draw(to, count + 1) };
    return { slot, position, ids: unread, draw: this.draw(to, count) };
  }

  private draw(to: number, number: number): SampledChunk["draw"] {
    const { seed, sampling } = this.settings;
    return { to, seed, stream: this.prompt, number, choices: this.limits.choices, ...drawOptions(sampling) };
  }

  /** Adds the next token; returns a chunk if there is new text to report. */
  take(id: number): GenerationChunk | null {
    if (id >= NOT_FINITE)
      throw new DataError("not-finite", "the model's logits are not finite", {
        found: `NaN or infinity for token ${id - NOT_FINITE}`,
        hint: "its weights or the adapter's are damaged, or its training diverged",
      });
    this.position += this.unread.length;
    this.tokens.push(id);
    this.unreported.ids.push(id);
    this.count++;
    let text = id === this.tokenizer.endOfText ? "" : this.stops.push(this.decoded.push(id));
    const finish = this.finishReason(id);
    if (finish === "end" || finish === "length") text += this.stops.push(this.decoded.end()) + this.stops.end();
    else if (finish === undefined) this.advance(id);
    const { forgotten, omitted } = this.unreported;
    if (text === "" && finish === undefined && forgotten === undefined && omitted === undefined) return null;
    const chunk: GenerationChunk = {
      prompt: this.prompt,
      text,
      ...this.unreported,
      ...(finish === undefined ? {} : { finish }),
    };
    this.unreported = { ids: [] };
    return chunk;
  }

  private finishReason(id: number): FinishReason | undefined {
    if (id === this.tokenizer.endOfText) return "end";
    if (this.stops.stopped) return "stop";
    return this.count === this.settings.maxNewTokens ? "length" : undefined;
  }

  private advance(id: number): void {
    const { context } = this.limits;
    if (this.position < context) this.unread = [id];
    // The context is full. Positions are absolute, so that all tokens that stay are computed again: half of them, not
    // all but one.
    else this.restart(Math.max(1, context >> 1));
  }

  /** Writes the tokens that were in the cache into an empty one. */
  repeat(): void {
    this.restart(this.tokens.length - this.forgotten);
  }

  /** Continues from the last `keep` tokens, with an empty cache. */
  private restart(keep: number): void {
    this.position = 0;
    this.unread = this.tokens.slice(-keep);
    const forgotten = this.tokens.length - this.unread.length;
    if (forgotten > this.forgotten) {
      this.forgotten = forgotten;
      this.unreported.forgotten = forgotten;
    }
  }
}
