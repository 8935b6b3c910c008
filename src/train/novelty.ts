/** What a run stores about its training messages, to tell later which messages are unlike them. */
import type { Dataset } from "../data/dataset.ts";
import type { TrainingData } from "../data/texts.ts";
import { BYTES, filterBits, Novelty, type NoveltySettings } from "../io/novelty.ts";

/** Share of validation messages that count as unlike the training data, and the fewest messages to measure it on. */
const FALSE_ALARMS = 0.02;
const FEWEST = 50;

/** Null for a language model, and if the validation set is too small. */
export function fitNovelty(data: TrainingData): NoveltySettings | null {
  return data.objective === "lm" ? null : fitFilter(unpaddedRows(data.train), unpaddedRows(data.val));
}

/** Learns the pairs of `train` and sets the limit on `val`, both as token ids; null if `val` has too few messages. */
export function fitFilter(train: Iterable<Uint32Array>, val: Iterable<Uint32Array>): NoveltySettings | null {
  const bits = new Uint8Array(BYTES);
  for (const ids of train)
    for (let i = 1; i < ids.length; i++)
      for (const place of filterBits(ids[i - 1]!, ids[i]!)) bits[place >> 3]! |= 1 << (place & 7);
  const known = new Novelty(bits, 0);
  const scores = Array.from(val, (ids) => known.score(ids)).sort((a, b) => a - b);
  if (scores.length < FEWEST) return null;
  const limit = scores[Math.ceil(scores.length * (1 - FALSE_ALARMS)) - 1]!;
  return { limit, pairs: btoa(Array.from(bits, (byte) => String.fromCharCode(byte)).join("")) };
}

/** The tokens of each row, as far as the model reads it and without padding. */
function* unpaddedRows(set: Dataset): Generator<Uint32Array> {
  for (let i = 0; i < set.size; i++) {
    const { ids, lengths } = set.batch([i]);
    yield ids.subarray(0, lengths[0]!);
  }
}
