/** A language model's texts before it is trained and after it, for the beginnings of texts of the test set. */
import type { Backend } from "../backend/backend.ts";
import { LowrankError } from "../core/errors.ts";
import type { TrainingData } from "../data/training-data.ts";
import { LanguageModel } from "../infer/text/language-model.ts";
import type { BaseModel } from "../io/hf.ts";
import { baseDtype } from "../io/peft/adapter-meta.ts";
import type { Adapter } from "../io/peft/peft.ts";
import type { Results } from "../tasks/task.ts";

const SAMPLES = 2;
/** New tokens of each: they take about as long as a training step. */
const TOKENS = 32;

interface Models {
  device: Backend;
  model: BaseModel;
  data: TrainingData;
  /** Before training, and after it. */
  adapter?: Adapter | undefined;
  learned: Adapter;
  signal?: AbortSignal | undefined;
}

/** Adds samples to the results of a run that writes texts. Without memory for them there are none. */
export async function addSamples(
  results: Results | null,
  { device, model, data, adapter, learned, signal }: Models,
): Promise<void> {
  if (!results || !("chat" in data)) return;
  const beginnings = data.test.beginnings(SAMPLES, TOKENS);
  if (beginnings.length === 0) return;
  const prompts = beginnings.map(({ prompt }) => prompt);
  const write = async (from: Adapter | null) => {
    const dtype = baseDtype(learned.meta);
    const lm = await LanguageModel.of(model, from, { device, batchSize: SAMPLES, dtype });
    const options = { maxNewTokens: TOKENS, chat: data.chat, ...(signal ? { signal } : {}) };
    return lm.complete(prompts, options).finally(() => lm.destroy());
  };
  try {
    const [before, after] = [await write(adapter ?? null), await write(learned)];
    results.test.samples = beginnings.map(({ prompt, rest }, i) => ({
      ...{ text: prompt, truth: rest, predicted: after[i]!.text, before: before[i]!.text },
    }));
  } catch (error) {
    // A failed example must not lose what was learned.
    if (!(error instanceof LowrankError) && !signal?.aborted) throw error;
  }
}
