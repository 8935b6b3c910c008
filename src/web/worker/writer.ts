/** Generates text with a base model, which stays on its device, alone or with a language model's adapter. */
import type { Backend } from "../../backend/backend.ts";
import type { GenerationChunk } from "../../infer/text/generation.ts";
import type { LanguageModel } from "../../infer/text/language-model.ts";
import { openWriter } from "../../infer/text/writer.ts";
import type { BaseModel } from "../../io/hf.ts";
import { loadAdapter } from "../../io/peft/open-adapter.ts";
import type { WriteReport, WriteRequest } from "../protocol.ts";

/** The model that generates. */
interface WriteTarget {
  device: Backend;
  model: BaseModel;
  /** The adapter's name, another one after each change of it, and directory; null: there is none. */
  adapter: { name: string; directory: string } | null;
}

export class Writer {
  /** The model that is open: alone, or with the adapter of a name. */
  private open: (Omit<WriteTarget, "adapter"> & { lm: LanguageModel; name: string | null }) | undefined;

  /** Writes behind the prompts, and emits the text in chunks, until all are done or the signal aborts. */
  async write(
    target: WriteTarget,
    { prompts, options }: WriteRequest,
    signal: AbortSignal,
    emit: (chunk: GenerationChunk, seconds: number) => void,
  ): Promise<WriteReport> {
    let started: number | undefined;
    const seconds = () => (started === undefined ? 0 : (performance.now() - started) / 1000);
    let { info } = target.device;
    try {
      for (const isAdapted of new Set(prompts.map((one) => one.isAdapted))) {
        const lm = await this.prepare(target, isAdapted ? target.adapter : null);
        info = lm.device;
        started ??= performance.now();
        const places = [...prompts.keys()].filter((i) => prompts[i]!.isAdapted === isAdapted);
        const texts = places.map((i) => prompts[i]!.prompt);
        for await (const chunk of lm.generate(texts, { ...options, signal }))
          emit({ ...chunk, prompt: places[chunk.prompt]! }, seconds());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return { seconds: seconds(), stopped: signal.aborted, device: info };
  }

  close(): void {
    this.open?.lm.destroy();
    this.open = undefined;
  }

  /** Opens a model with an adapter; the one that was open goes then, so that its base model stays on the device. */
  private async prepare({ device, model }: WriteTarget, adapter: WriteTarget["adapter"]): Promise<LanguageModel> {
    const { open } = this;
    const name = adapter?.name ?? null;
    if (open?.device === device && open.model === model && open.name === name) return open.lm;
    const opened = adapter && (await loadAdapter(adapter.directory, model));
    const lm = await openWriter(model, opened, { device });
    this.close();
    this.open = { device, model, lm, name };
    return lm;
  }
}
