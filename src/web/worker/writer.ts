/** Generates text with a base model, which stays on its device, and with language-model adapters on it. */
import type { Backend } from "../../backend/backend.ts";
import { ConfigError } from "../../core/errors.ts";
import type { GenerationChunk } from "../../infer/text/generation.ts";
import { LanguageModel } from "../../infer/text/language-model.ts";
import type { BaseModel } from "../../io/hf.ts";
import type { WriteReport, WriteRequest } from "../protocol.ts";

/** The model that generates. */
interface WriteTarget {
  device: Backend;
  model: BaseModel;
  /** The adapter's name, another one after each change of the adapter, and directory; null: there is none. */
  adapter: { name: string; directory: string } | null;
  /** Whether all weights of the base model are the same with the adapter. */
  isFrozen: boolean;
}

export class Writer {
  private open: (Pick<WriteTarget, "device" | "model" | "isFrozen"> & { lm: LanguageModel }) | undefined;

  /** Writes behind the prompts, and emits the text in chunks, until all are done or the signal aborts. */
  async write(
    target: WriteTarget,
    { prompts, options }: WriteRequest,
    signal: AbortSignal,
    emit: (chunk: GenerationChunk, seconds: number) => void,
  ): Promise<WriteReport> {
    const lm = await this.prepare(target);
    const started = performance.now();
    const seconds = () => (performance.now() - started) / 1000;
    try {
      for (const isAdapted of new Set(prompts.map((one) => one.isAdapted))) {
        await (isAdapted ? lm.setAdapter(target.adapter!.name) : lm.disableAdapters());
        const places = [...prompts.keys()].filter((i) => prompts[i]!.isAdapted === isAdapted);
        const texts = places.map((i) => prompts[i]!.prompt);
        for await (const chunk of lm.generate(texts, { ...options, signal }))
          emit({ ...chunk, prompt: places[chunk.prompt]! }, seconds());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return { seconds: seconds(), stopped: signal.aborted, device: lm.device };
  }

  close(): void {
    this.open?.lm.destroy();
    this.open = undefined;
  }

  private async prepare({ device, model, adapter, isFrozen }: WriteTarget): Promise<LanguageModel> {
    if (this.open?.device !== device || this.open.model !== model || this.open.isFrozen !== isFrozen) {
      this.close();
      const isInIntegers = isFrozen && device.info.kind === "wasm";
      const lm = await (isInIntegers ? openInIntegers(model, device) : LanguageModel.of(model, null, { device }));
      this.open = { device, model, isFrozen, lm };
    }
    const { lm } = this.open;
    if (adapter && !lm.adapters.includes(adapter.name)) {
      await lm.loadAdapter(adapter.directory, adapter.name);
      await lm.setAdapter(adapter.name);
      for (const name of lm.adapters) if (name !== adapter.name) lm.deleteAdapter(name);
    }
    return lm;
  }
}

/** On the CPU a token takes a third of the time in integers, and only near ties are written in another way. */
async function openInIntegers(model: BaseModel, device: Backend): Promise<LanguageModel> {
  try {
    return await LanguageModel.of(model, null, { device, dtype: "int16" });
  } catch (error) {
    // A few models have weights that are too different in size.
    if (!(error instanceof ConfigError && error.code === "weights-out-of-range")) throw error;
    return LanguageModel.of(model, null, { device });
  }
}
