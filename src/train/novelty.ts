/** What a run stores about its training messages, to tell later which messages are unlike them. */
import type { Dataset } from "../data/dataset.ts";
import type { TrainingData } from "../data/texts.ts";
import { Novelty, type NoveltySettings } from "../io/novelty.ts";

/** Null for a language model, and if the validation set is too small. */
export function fitNovelty(data: TrainingData): NoveltySettings | null {
  return data.objective === "lm" ? null : Novelty.fit(unpaddedRows(data.train), unpaddedRows(data.val));
}

/** The tokens of each row, as far as the model reads it and without padding. */
function* unpaddedRows(set: Dataset): Generator<Uint32Array> {
  for (let i = 0; i < set.size; i++) {
    const { ids, lengths } = set.batch([i]);
    yield ids.subarray(0, lengths[0]!);
  }
}
