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

/** Some messages of a set, with the states of those that were read. `reading`: reads what is left. */
interface Excerpt {
  messages: readonly KnownMessage[];
  states: Float32Array[];
  reading?: Promise<void>;
}

/** Of one run. What is read of its data is kept. */
export class AlikeMessages {
  /** One set is read after the other. */
  private readonly turns = new Turns();
  private readonly excerpts: Readonly<Record<ReadSet, Excerpt>>;
  private stopped = new AbortController();

  constructor(
    private readonly data: LoadedDataset,
    private readonly onShare: (of: ReadSet, share: number) => void,
  ) {
    this.excerpts = {
      training: { messages: this.choose(data.train, TRAINING), states: [] },
      test: { messages: this.choose(data.test, TEST), states: [] },
    };
  }

  /** The training messages whose hidden states have the largest cosine with the text's, the likest first. */
  async nearest(text: TextOrPair, reading: Reading): Promise<Alike> {
    const { messages, states } = await this.read("training", reading);
    const [own] = await reading.states([text]);
    const cosines = states.map((state) => cosine(state, own!));
    const order = [...messages.keys()].sort((a, b) => cosines[b]! - cosines[a]!);
    const nearest = order.slice(0, NEAREST).map((i) => messages[i]!);
    return { messages: nearest, read: messages.length, of: this.data.train.size };
  }

  /** The messages of the test set in the plane in which their hidden states differ most. */
  async testMap(reading: Reading): Promise<MessageMap> {
    const { messages, states } = await this.read("test", reading);
    const answers = await reading.answers(messages.map(({ text }) => text));
    const { places, shares } = principalPlane(states);
    const points = messages.map((message, i) => ({ ...message, answer: answerOf(answers[i]!), at: places[i]! }));
    return { points, shares, of: this.data.test.size };
  }

  /** Ends reading, whose calls reject with an AbortError; the next ones continue there. */
  stop(): void {
    this.stopped.abort(new DOMException("reading was stopped", "AbortError"));
    this.stopped = new AbortController();
    for (const excerpt of Object.values(this.excerpts)) delete excerpt.reading;
  }

  /** Calls at the same time read once. */
  private async read(of: ReadSet, reading: Reading): Promise<Excerpt> {
    const excerpt = this.excerpts[of];
    const { messages, states } = excerpt;
    const { signal } = this.stopped;
    excerpt.reading ??= this.turns.run(async () => {
      while (states.length < messages.length) {
        signal.throwIfAborted();
        this.onShare(of, states.length / messages.length);
        const part = messages.slice(states.length, states.length + PART);
        states.push(...(await reading.states(part.map(({ text }) => text))));
      }
    });
    await excerpt.reading;
    return excerpt;
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
