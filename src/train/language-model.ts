/** A language model as it is used: GPT-2, or what was trained from it with `objective` lm. */
import { exists, joinPath } from "#platform";
import type { Backend } from "../backend/backend.ts";
import type { GPT2Config } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { ConfigError, DataError } from "../errors.ts";
import type { DownloadOptions } from "../io/download.ts";
import { type GPT2Checkpoint, loadModel } from "../io/hf.ts";
import { loadAdapter, openAdapter } from "../io/open-adapter.ts";
import type { Adapter } from "../io/peft.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { loadBase, writeTrained } from "./contents.ts";
import { Engine } from "./engine.ts";

/** `onProgress` hears of the base model's download, where it must be fetched. */
export interface LanguageModelOptions extends DownloadOptions {
  device: Backend;
  /** Directory of an adapter on the model: of a run, or one that PEFT wrote (CAUSAL_LM). */
  adapter?: string;
  /** The base model, in place of the one that a run or an adapter names. */
  model?: string;
}

/** How well a model predicts a text. */
export interface TextScore {
  /** Tokens that were predicted: all but the first. */
  tokens: number;
  /** UTF-8 bytes of these tokens. */
  bytes: number;
  /** Mean cross-entropy of a token, nats. */
  loss: number;
  /** exp(loss). */
  perplexity: number;
  bitsPerByte: number;
}

export class LanguageModel {
  private constructor(
    private readonly engine: Engine,
    private readonly tokenizer: Tokenizer,
  ) {}

  get config(): GPT2Config {
    return this.engine.plan.spec.config;
  }

  /**
   * Loads a model (by name or directory), with an adapter where one is given; or a run of `objective` lm, or the directory
   * of an adapter, with the base model that it names. Throws ConfigError where there is none, or a classifier's,
   * FormatError where a file is damaged.
   */
  static async load(modelOrRun: string, { device, adapter, model, ...options }: LanguageModelOptions) {
    if (await isTrained(modelOrRun)) {
      if (adapter !== undefined)
        throw new ConfigError("two adapters for one model", { found: `${modelOrRun} and ${adapter}` });
      const opened = await openAdapter(modelOrRun, model, options);
      return closing(opened.checkpoint, () => LanguageModel.of(opened.checkpoint, opened.adapter, device));
    }
    const checkpoint = await loadModel(modelOrRun, options);
    return closing(checkpoint, async () =>
      LanguageModel.of(checkpoint, adapter === undefined ? null : await loadAdapter(adapter, checkpoint), device),
    );
  }

  /** A language model from a checkpoint and, where there is one, an adapter that has been read. */
  static async of(checkpoint: GPT2Checkpoint, adapter: Adapter | null, device: Backend): Promise<LanguageModel> {
    const { config } = checkpoint;
    const spec = specOf(config, adapter);
    const capacity = { tokens: config.n_positions, sequences: 1 };
    const engine = await Engine.create(device, { spec, capacity, optimizer: null });
    try {
      await loadBase(engine, checkpoint);
      if (adapter) writeTrained(engine, adapter.tensors);
      return new LanguageModel(engine, await Tokenizer.load());
    } catch (error) {
      engine.destroy();
      throw error;
    }
  }

  /**
   * How well the model predicts a text, token by token, in blocks of its context: every token but the first once, those at
   * the start of a block from few before them. Throws DataError for a text of fewer than two tokens.
   */
  async score(text: string): Promise<TextScore> {
    const ids = this.tokenizer.encode(text);
    const tokens = ids.length - 1;
    if (tokens < 1)
      throw new DataError("there is nothing to predict in the text", {
        expected: "two tokens or more",
        found: `${ids.length}`,
      });
    let sum = 0;
    for (let first = 0; first < tokens; first += this.config.n_positions) {
      const count = Math.min(this.config.n_positions, tokens - first);
      const slot = this.engine.forward({
        ids: ids.slice(first, first + count),
        starts: Uint32Array.of(0, count),
        rows: new Uint32Array(),
        targets: Int32Array.from(ids.subarray(first + 1, first + 1 + count)),
      });
      sum += (await this.engine.result(slot)).loss * count;
    }
    const bytes = this.tokenizer.decodeBytes(ids.subarray(1)).length;
    const loss = sum / tokens;
    return { tokens, bytes, loss, perplexity: Math.exp(loss), bitsPerByte: sum / Math.LN2 / bytes };
  }

  /** Frees the model's memory on the device. */
  destroy(): void {
    this.engine.destroy();
  }
}

/** Whether a directory is a run's or an adapter's, not a model's. */
async function isTrained(directory: string): Promise<boolean> {
  for (const name of ["adapter", "lowrank.json", "adapter_config.json"])
    if (await exists(joinPath(directory, name))) return true;
  return false;
}

async function closing<T>(checkpoint: GPT2Checkpoint, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await checkpoint.close();
  }
}

function specOf(config: GPT2Config, adapter: Adapter | null): ModelSpec {
  if (!adapter) {
    const task = { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false } as const;
    return { config, task, mode: "all", lora: null, train_head: false };
  }
  const { task, mode, lora } = adapter.meta;
  if (task.objective !== "lm")
    throw new ConfigError("a classifier writes no text", {
      expected: "an adapter of a language model (CAUSAL_LM)",
      found: "an adapter of a classifier (SEQ_CLS)",
      hint: "classify labels texts with it",
    });
  return { config, task, mode, lora, train_head: false };
}
