/** What a trained model finds alike: by its last hidden state of messages of its data. Loaded when it is asked for. */
import type { Dataset } from "../../data/dataset.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import type { TextOrPair } from "../../pair.ts";
import { principalPlane } from "../../run/spectrum.ts";
import { answerOf, type Labelled } from "../../tasks/predictions.ts";
import type { Alike, KnownMessage, MessageMap } from "../protocol.ts";
import { someMessages } from "./watch.ts";

/** Messages that are read of the training set, and of the test set, whose map has no room for more. */
const [TRAINING, TEST] = [300, 200];
/** Tokens of them, about: of long messages fewer are read, so that a small model takes seconds. */
const TOKENS = 1 << 14;
/** Messages that are shown. */
const NEAREST = 3;

/** What a model makes of texts: the hidden state of each, or its answers. */
interface Reading {
  states(texts: readonly TextOrPair[]): Promise<Float32Array[]>;
  answers(texts: readonly TextOrPair[]): Promise<Labelled[]>;
}

/** Of one run. What is read of its data is kept. */
export class AlikeMessages {
  private training: Promise<{ messages: KnownMessage[]; states: Float32Array[] }> | undefined;
  private map: Promise<MessageMap> | undefined;

  constructor(private readonly data: LoadedDataset) {}

  /** The training messages whose hidden states have the largest cosine with the text's, the likest first. */
  async nearest(text: TextOrPair, reading: Reading): Promise<Alike> {
    const { train } = this.data;
    this.training ??= this.read(train, TRAINING, reading);
    const { messages, states } = await this.training;
    const [own] = await reading.states([text]);
    const cosines = states.map((state) => cosine(state, own!));
    const order = [...messages.keys()].sort((a, b) => cosines[b]! - cosines[a]!);
    return { messages: order.slice(0, NEAREST).map((i) => messages[i]!), read: messages.length, of: train.size };
  }

  /** The messages of the test set in the plane in which their hidden states differ most. */
  testMap(reading: Reading): Promise<MessageMap> {
    this.map ??= this.drawMap(reading);
    return this.map;
  }

  private async drawMap(reading: Reading): Promise<MessageMap> {
    const { test } = this.data;
    const { messages, states } = await this.read(test, TEST, reading);
    const answers = await reading.answers(messages.map(({ text }) => text));
    const { places, shares } = principalPlane(states);
    const points = messages.map((message, i) => ({ ...message, answer: answerOf(answers[i]!), at: places[i]! }));
    return { points, shares, of: test.size };
  }

  private async read(set: Dataset, most: number, { states }: Reading) {
    const tokens = set.lengths.reduce((sum, length) => sum + length, 0);
    const messages = someMessages(this.data, set, Math.min(most, Math.ceil((TOKENS * set.size) / Math.max(1, tokens))));
    return { messages, states: await states(messages.map(({ text }) => text)) };
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
