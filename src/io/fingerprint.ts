/** Identifies models and adapters by their contents rather than their paths. */
import { createHasher, sha256 } from "#platform";
import type { BaseModel } from "./hf.ts";
import type { Adapter } from "./peft.ts";
import { GPT2_VOCABULARY } from "./vocabulary.ts";

/** Tensors that are read at a time: one after the other would take long from a server. */
const AT_ONCE = 16;

/** The fingerprints of models that are in use. */
const known = new WeakMap<BaseModel, Promise<string>>();

/**
 * SHA-256 of a model's config, and of every tensor's name, shape and values; only the first row of a matrix. Any
 * training changes some of these, and reading all values of a large model would take long. It identifies the file,
 * whatever type the weights are kept in, and is computed once per open model.
 */
export function fingerprint(model: BaseModel): Promise<string> {
  const made = known.get(model) ?? make(model);
  known.set(model, made);
  return made;
}

async function make(model: BaseModel): Promise<string> {
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const parts = [text(model.config)];
  if (model.vocabulary !== GPT2_VOCABULARY) parts.push(text(model.vocabulary.fingerprint));
  for (let first = 0; first < model.names.length; first += AT_ONCE) {
    const some = model.names.slice(first, first + AT_ONCE);
    const samples = await Promise.all(some.map((name) => model.sample(name)));
    for (const [i, name] of some.entries()) parts.push(text([name, model.shape(name)]), samples[i]!);
  }
  return sha256(parts);
}

/** SHA-256 of a trained model: of everything in its adapter, and of its base model's fingerprint. */
export async function trainedFingerprint({ meta, tensors }: Adapter, model: BaseModel): Promise<string> {
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
