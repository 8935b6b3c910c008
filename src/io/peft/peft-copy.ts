/**
 * The base model's head or token table, which PEFT saves with an adapter of it. Loaded on demand: few adapters have it.
 */
import { FormatError } from "../../errors.ts";
import { formatShape, sameShape } from "../../tensor.ts";
import type { SafetensorsFile } from "../safetensors/safetensors.ts";
import type { PeftBase } from "./peft-form.ts";

/** Throws FormatError unless an adapter's copy of a base model's tensor equals it: another one is not supported. */
export async function compareCopy(
  key: string,
  file: SafetensorsFile,
  { config, read }: PeftBase,
  where: string,
): Promise<void> {
  const isHead = /lm_head|embed_out/.test(key);
  const name = isHead && config.tie_word_embeddings === false ? "lm_head.weight" : "wte.weight";
  const { shape } = file.info(key);
  const fits = sameShape(shape, [config.vocab_size, config.n_embd]);
  const [copy, own] = fits ? [await file.readF32(key), await read!(name)] : [];
  if (copy?.every((value, i) => value === own![i])) return;
  const summary = `the ${isHead ? "head" : "token table"} in the adapter differs from the base model's`;
  throw new FormatError("damaged-adapter", summary, {
    where,
    expected: `${key} equal to the base model's`,
    found: fits ? "other values" : `the shape ${formatShape(shape)}`,
    hint: "check that the adapter belongs to this base model, and was saved in the same element type",
  });
}
