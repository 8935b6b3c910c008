/** GPT-2 as a language model, or one fine-tuned with `objective` lm: generates text and scores it. */

import { checkArguments, checkOptions, type FieldKind } from "../../core/checks.ts";
import type { ModelConfig } from "../../core/config.ts";
import type { Decoder } from "../../engine/decoder.ts";
import type { BaseModel } from "../../io/hf.ts";
import { DOWNLOAD_OPTIONS } from "../../io/hub/download-options.ts";
import type { Adapter } from "../../io/peft/peft.ts";
import { AdapterModel } from "../adapter-model.ts";
import type { LanguageModelOptions, TextScore } from "./decoding.ts";
import type { Completion, GenerateOptions, GenerationChunk, Prompt } from "./generation.ts";

const OPTIONS = {
  ...DOWNLOAD_OPTIONS,
  device: "device",
  model: "name or model?",
  batchSize: "number?",
  dtype: "text?",
} as const satisfies Record<keyof LanguageModelOptions, FieldKind>;

/**
 * A GPT-2 that generates and scores texts, with or without an adapter. Calls run one after the other; `destroy` frees its
 * memory.
 *
 * @example
 * ```ts
 * import { LanguageModel, openDevice } from "lowrank/engine";
 *
 * const device = await openDevice();
 * const lm = await LanguageModel.load("gpt2", { device });
 * for await (const { text } of lm.generate("The weather today", { maxNewTokens: 20 })) process.stdout.write(text);
 * const { perplexity } = await lm.score("The weather today is fine.");
 * console.log(perplexity);
 * lm.destroy();
 * ```
 */
export class LanguageModel extends AdapterModel<Decoder> {
  get config(): ModelConfig {
    return this.engine.plan.spec.config;
  }

  /** Texts generated at the same time; further prompts wait until one is done. */
  get batchSize(): number {
    return this.engine.plan.capacity.sequences;
  }

  /**
   * Loads a model by name or directory; or a run of `objective` lm or an adapter's directory, with its base model. Throws ConfigError if there is none, or only a classifier,
   * FormatError if a file is damaged, DeviceError if it does not fit into memory.
   */
  static async load(modelOrRun: string, options: LanguageModelOptions): Promise<LanguageModel> {
    checkArguments({ modelOrRun }, { modelOrRun: "text" });
    checkOptions("options", options, OPTIONS);
    return new LanguageModel(...(await (await import("./decoding.ts")).load(modelOrRun, options)));
  }

  /** A language model from a base model and an adapter in memory; null: the base model alone. */
  static async of(
    baseModel: BaseModel,
    adapter: Adapter | null,
    options: Pick<LanguageModelOptions, "device" | "batchSize" | "dtype">,
  ): Promise<LanguageModel> {
    checkArguments({ baseModel, adapter }, { baseModel: "model", adapter: "adapter or null" });
    checkOptions("options", options, OPTIONS);
    const { openLanguageModel } = await import("./decoding.ts");
    return new LanguageModel(...(await openLanguageModel(baseModel, adapter, options)));
  }

  /**
   * Generates text for a prompt, or several at the same time, and yields it in chunks: whole characters of one prompt
   * each. A prompt is a text, or the messages of a chat. An empty text starts a document. When the context overflows,
   * also by a prompt, the oldest tokens are dropped: generation continues from the last half of the context, and a
   * chunk reports it. Of a chat that is too long whole turns are left out, the oldest first, but not the system
   * message. What a prompt has in common with one of the last call is not computed again, and changes no bit. Text is
   * generated as it is consumed, in runs of about 100 ms; once another call waits, it is generated to its end. Throws
   * ConfigError for invalid options.
   *
   * @example
   * ```ts
   * import { LanguageModel, openDevice } from "lowrank/engine";
   *
   * const lm = await LanguageModel.load("runs/helpdesk", { device: await openDevice() });
   * const chats = ["My parcel is late.", "Where is it?"].map((content) => [{ role: "user", content }]);
   * for await (const { prompt, text } of lm.generate(chats)) console.log(prompt, text);
   * ```
   */
  async *generate(
    prompts: string | readonly Prompt[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GenerationChunk, void, void> {
    const { generateAll, iterate } = await import("./decoding.ts");
    const replace = async (error: unknown) => {
      await this.moveToCpu(error);
      return this.engine;
    };
    yield* iterate(this.turns, () => generateAll(this.engine, this.tokenizer, prompts, options, replace));
  }

  /** The complete texts of `generate`, one for each prompt. */
  async complete(prompts: string | readonly Prompt[], options: GenerateOptions = {}): Promise<Completion[]> {
    const { joinChunks } = await import("./decoding.ts");
    return joinChunks([prompts].flat(), this.generate(prompts, options));
  }

  /**
   * Scores a text as `loadTexts` reads a document: after an <|endoftext|>, so that the first token is predicted too,
   * and in blocks of the context, so that tokens at the start of a block have little context. The end of the text is
   * not predicted. Throws DataError for an empty text.
   */
  async score(text: string): Promise<TextScore> {
    checkArguments({ text }, { text: "text" });
    const { score } = await import("./decoding.ts");
    return this.inTurn(() => score(this.engine, this.tokenizer, text));
  }
}
