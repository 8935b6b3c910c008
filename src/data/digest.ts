/** Identifies a data set by its contents rather than its files. */
import { sha256 } from "#platform";
import type { TrainingData } from "./training-data.ts";

/** Rows that are packed and hashed at a time. */
const ROWS = 1024;

const known = new WeakMap<TrainingData, Promise<string>>();

/** `readDigest`, once for each data set. */
export function digestData(data: TrainingData): Promise<string> {
  const digest = known.get(data) ?? readDigest(data);
  known.set(data, digest);
  return digest;
}

/**
 * SHA-256 of the training and evaluation data: of the labels, and of every row of the three sets, in their order, the
 * tokens as in a batch and the class, the values or the targets. Some rows are hashed at a time, and then their hashes:
 * a browser hashes no stream.
 */
async function readDigest({ train, val, test, labels }: TrainingData): Promise<string> {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const digests = [await sha256([bytes(JSON.stringify(labels))])];
  for (const set of [train, val, test])
    for (let first = 0; first < set.size; first += ROWS) {
      const count = Math.min(ROWS, set.size - first);
      const batch = set.batch(Uint32Array.from({ length: count }, (_, i) => first + i));
      const parts = [batch.starts, batch.ids, "labels" in batch ? (batch.values ?? batch.labels) : batch.targets];
      digests.push(
        await sha256(parts.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength))),
      );
    }
  return sha256([bytes(digests.join())]);
}
