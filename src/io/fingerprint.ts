/** Identifies models and adapters by their contents rather than their paths. */
import { createHasher } from "#platform";
import type { GPT2Checkpoint } from "./hf.ts";
import type { Adapter } from "./peft.ts";
import { GPT2_VOCABULARY } from "./vocabulary.ts";

/**
 * SHA-256 of a model's config, and of every tensor's name, shape and values; only the first row of a matrix. Any training
 * changes some of these, and reading all values of a large model would take long.
 */
export async function fingerprint(model: GPT2Checkpoint): Promise<string> {
  const hash = await createHasher("sha256");
  const text = (value: unknown) => hash.update(new TextEncoder().encode(JSON.stringify(value)));
  text(model.config);
  if (model.vocabulary !== GPT2_VOCABULARY) text(model.vocabulary.fingerprint);
  for (const name of model.names) {
    const shape = model.shape(name);
    text([name, shape]);
    const values = await (shape.length > 1 ? model.read(name, 0, 1) : model.read(name));
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest();
}

/** SHA-256 of a trained model: of everything in its adapter, and of its base model's fingerprint. */
export async function trainedFingerprint({ meta, tensors }: Adapter, model: GPT2Checkpoint): Promise<string> {
  const hash = await createHasher("sha256");
  const { base_model: _, ...rest } = meta;
  const text = (value: unknown) => hash.update(new TextEncoder().encode(JSON.stringify(value)));
  text([await fingerprint(model), rest]);
  for (const [name, { shape, data }] of tensors) {
    text([name, shape]);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest();
}
