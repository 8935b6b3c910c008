/** What a trained model finds alike: by its last hidden state of messages of its data. Loaded when it is asked for. */
import type { Dataset } from "../../data/dataset.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { Turns } from "../../infer/turns.ts";
import type { TextOrPair } from "../../pair.ts";
import { principalPlane } from "../../run/spectrum.ts";
import { answerOf, type Labelled } from "../../tasks/predictions.ts";
import type { Alike, KnownMessage, MessageMap, ReadSet } from "../protocol.ts";
import { someMessages } from "./watch.ts";

/** Messages that are read of the training set, and of the test set, whose map has no room for more. */
const [TRAINING, TEST] = [300, 200];
/** Tokens of them, about: of long messages fewer are read, so that a small model takes seconds. */
const TOKENS = 1 << 14;
/** Messages that are shown. */
const NEAREST = 3;

/** Messages between two reports, after which reading can end. */
const PART = 16;

/** What a model makes of texts: the hidden state of each, or its answers. */
interface Reading {
  states(texts: readonly TextOrPair[]): Promise<Float32Array[]>;
  answers(texts: readonly TextOrPair[]): Promise<Labelled[]>;
}

/** Some messages of a set, with the states of those that were read. */
class Excerpt {
  readonly states: Float32Array[] = [];
  private reading: Promise<void> | undefined;
  private stopped = new AbortController();

  constructor(
    readonly messages: readonly KnownMessage[],
    private readonly onShare: (share: number) => void,
  ) {}

  /** Reads what is left. Calls at the same time read once. */
  read({ states }: Reading, turns: Turns): Promise<void> {
    const { signal } = this.stopped;
    this.reading ??= turns.run(async () => {
      while (this.states.length < this.messages.length) {
        signal.throwIfAborted();
        this.onShare(this.states.length / this.messages.length);
        const part = this.messages.slice(this.states.length, this.states.length + PART);
        this.states.push(...(await states(part.map(({ text }) => text))));
      }
    });
    return this.reading;
  }

  /** The next call continues. */
  stop(): void {
    this.stopped.abort(new DOMException("reading was stopped", "AbortError"));
    this.stopped = new AbortController();
    this.reading = undefined;
  }
}

/** Of one run. What is read of its data is kept. */
export class AlikeMessages {
  /** One set is read after the other. */
  private readonly turns = new Turns();
  private readonly training: Excerpt;
  private readonly test: Excerpt;

  constructor(
    private readonly data: LoadedDataset,
    onShare: (of: ReadSet, share: number) => void,
  ) {
    this.training = new Excerpt(this.choose(data.train, TRAINING), (share) => onShare("training", share));
    this.test = new Excerpt(this.choose(data.test, TEST), (share) => onShare("test", share));
  }

  /** The training messages whose hidden states have the largest cosine with the text's, the likest first. */
  async nearest(text: TextOrPair, reading: Reading): Promise<Alike> {
    const { messages, states } = this.training;
    await this.training.read(reading, this.turns);
    const [own] = await reading.states([text]);
    const cosines = states.map((state) => cosine(state, own!));
    const order = [...messages.keys()].sort((a, b) => cosines[b]! - cosines[a]!);
    const nearest = order.slice(0, NEAREST).map((i) => messages[i]!);
    return { messages: nearest, read: messages.length, of: this.data.train.size };
  }

  /** The messages of the test set in the plane in which their hidden states differ most. */
  async testMap(reading: Reading): Promise<MessageMap> {
    const { messages, states } = this.test;
    await this.test.read(reading, this.turns);
    const answers = await reading.answers(messages.map(({ text }) => text));
    const { places, shares } = principalPlane(states);
    const points = messages.map((message, i) => ({ ...message, answer: answerOf(answers[i]!), at: places[i]! }));
    return { points, shares, of: this.data.test.size };
  }

  /** Ends reading: its calls reject with an AbortError. */
  stop(): void {
    for (const excerpt of [this.training, this.test]) excerpt.stop();
  }

  private choose(set: Dataset, most: number): KnownMessage[] {
    const tokens = set.lengths.reduce((sum, length) => sum + length, 0);
    return someMessages(this.data, set, Math.min(most, Math.ceil((TOKENS * set.size) / Math.max(1, tokens))));
  }
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, squareA, squareB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    squareA += a[i]! ** 2;
    squareB += b[i]! ** 2;
  }
  return dot / Math.sqrt(squareA * squareB || 1);
}
