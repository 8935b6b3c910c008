/** Identifies a model by its contents rather than its path. */
import { createHasher } from "#platform";
import type { GPT2Checkpoint } from "./hf.ts";

/**
 * SHA-256 of a model's config, and of every tensor's name, shape and values; only the first row of a matrix. Any training
 * changes some of these, and reading all values of a large model would take long.
 */
export async function fingerprint(model: GPT2Checkpoint): Promise<string> {
  const hash = await createHasher("sha256");
  const text = (value: unknown) => hash.update(new TextEncoder().encode(JSON.stringify(value)));
  text(model.config);
  for (const name of model.names) {
    const shape = model.shape(name);
    text([name, shape]);
    const values = await (shape.length > 1 ? model.read(name, 0, 1) : model.read(name));
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest();
}
