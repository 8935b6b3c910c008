/** A language model that writes as fast as its device can. */
import { ConfigError } from "../../core/errors.ts";
import type { BaseModel } from "../../io/hf.ts";
import { baseDtype } from "../../io/peft/adapter-meta.ts";
import type { Adapter } from "../../io/peft/peft.ts";
import { METHODS } from "../../methods/index.ts";
import type { LanguageModelOptions } from "./decoding.ts";
import { LanguageModel } from "./language-model.ts";

/**
 * As `LanguageModel.of`; on the CPU in integers unless a type is given: a token takes a third of the time, and only near
 * ties are written in another way (src/bench/README.md).
 */
export async function openWriter(
  model: BaseModel,
  adapter: Adapter | null,
  options: Pick<LanguageModelOptions, "device" | "batchSize" | "dtype">,
): Promise<LanguageModel> {
  const isFrozen = !adapter || (!METHODS[adapter.meta.mode].freezesNothing && baseDtype(adapter.meta) === "f32");
  if (options.dtype !== undefined || !isFrozen || options.device.info.kind !== "wasm")
    return LanguageModel.of(model, adapter, options);
  try {
    return await LanguageModel.of(model, adapter, { ...options, dtype: "int16" });
  } catch (error) {
    // A few models have weights that are too different in size.
    if (!(error instanceof ConfigError && error.code === "weights-out-of-range")) throw error;
    return LanguageModel.of(model, adapter, options);
  }
}
