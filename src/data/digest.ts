/** Identifies a data set by its contents rather than its files. */
import { createHasher } from "#platform";
import type { TrainingData } from "./texts.ts";

/** Rows that are packed at a time. */
const ROWS = 1024;

const known = new WeakMap<TrainingData, Promise<string>>();

/** `readDigest`, once for each data set. */
export function digestOf(data: TrainingData): Promise<string> {
  const digest = known.get(data) ?? readDigest(data);
  known.set(data, digest);
  return digest;
}

/**
 * SHA-256 of the training and evaluation data: for every row of the three sets, in their order, the tokens as in a batch, and
 * the class or the targets.
 */
async function readDigest({ train, val, test, labels }: TrainingData): Promise<string> {
  const hash = await createHasher("sha256");
  hash.update(new TextEncoder().encode(JSON.stringify(labels)));
  for (const set of [train, val, test])
    for (let first = 0; first < set.size; first += ROWS) {
      const count = Math.min(ROWS, set.size - first);
      const batch = set.batch(Uint32Array.from({ length: count }, (_, i) => first + i));
      for (const part of [batch.starts, batch.ids, "labels" in batch ? batch.labels : batch.targets])
        hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    }
  return hash.digest();
}
