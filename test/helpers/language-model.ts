/** A language model for the time of a test. */
import type { LanguageModelOptions } from "../../src/infer/text/decoding.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { testDevice } from "./device.ts";

/** Loads a model on the test's device, for three texts at a time, and releases it after `body`. */
export async function withModel<T>(
  name: string,
  body: (lm: LanguageModel) => Promise<T>,
  options: Partial<LanguageModelOptions> = {},
): Promise<T> {
  const lm = await LanguageModel.load(name, { device: await testDevice(), batchSize: 3, ...options });
  try {
    return await body(lm);
  } finally {
    lm.destroy();
  }
}
