/** What a language model does. Imported on demand: a page that classifies does not load it. */
import { backendOf, type Device } from "../../backend/backend.ts";
import { checkArguments, checkNumber, checkOptions } from "../../core/checks.ts";
import { type ModelConfig, textContext } from "../../core/config.ts";
import { ConfigError, DataError } from "../../core/errors.ts";
import { keyValueColumns } from "../../core/names.ts";
import type { WeightDtype } from "../../core/tensor.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { Decoder } from "../../engine/decoder.ts";
import { type BaseModel, loadModel } from "../../io/hf.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import { adaptedSpec, dtypeOn } from "../../io/peft/adapter-meta.ts";
import { findAdapter } from "../../io/peft/open-adapter.ts";
import type { Adapter, AdapterMeta } from "../../io/peft/peft.ts";
import type { DecoderPlan } from "../../model/decoder.ts";
import type { ModelSpec } from "../../model/trainable.ts";
import { hasHead, TASKS, type TaskConfig } from "../../tasks/index.ts";
import { closing, type LoadedModel, loadModelWith, tokenizerOf, withAdapter } from "../adapter-model.ts";
import type { ModelKind } from "../model-kind.ts";
import { NO_ADAPTERS } from "../no-adapter.ts";
import {
  GENERATE_OPTIONS,
  type GenerateOptions,
  type GenerationChunk,
  generate,
  PROMPTS,
  type Prompt,
  type ReplaceDecoder,
} from "./generation.ts";
import { generationWork } from "./generation-check.ts";

export { joinChunks } from "./generation.ts";
export { iterate } from "./read-ahead.ts";

/** `onProgress` receives the progress of the base model's download, if there is one. */
export interface LanguageModelOptions extends DownloadOptions {
  /** What it runs on, from `openDevice`. */
  device: Device;
  /** The base model of a run or an adapter, by name or open (then it stays open). Default: the one that it names. */
  model?: string | BaseModel | undefined;
  /** Texts generated at the same time; default: as many as fit 256 MB of keys and values, at most 8. */
  batchSize?: number | undefined;
  /** Type of the frozen matrices; default: as in training, or f32. After full fine-tuning others throw ConfigError. */
  dtype?: WeightDtype | undefined;
}

/** How well a model predicts a text. */
export interface TextScore {
  /** Tokens of the text; all are predicted, the first one after an <|endoftext|>. */
  tokens: number;
  /** Its UTF-8 bytes. */
  bytes: number;
  /** Mean cross-entropy per token, nats. */
  loss: number;
  /** exp(loss). */
  perplexity: number;
  bitsPerByte: number;
}

/** What a base model has learned, the next token: the task of a model without an adapter. */
export const BASE_TASK: TaskConfig = { objective: "lm", num_labels: 0, pooling: "last-token", head_bias: false };

/** Tokens of prompts in a prefill. */
const PREFILL_TOKENS = 512;
const CACHE_BYTES = 256e6;
const MOST_TEXTS = 8;

type Opened = [loaded: LoadedModel<Decoder>, tokenizer: Tokenizer];

/** What `LanguageModel.load` loads. */
export async function load(modelOrRun: string, options: LanguageModelOptions): Promise<Opened> {
  const { device, model, batchSize, dtype, ...downloads } = options;
  if ((await findAdapter(modelOrRun)) !== undefined)
    return withAdapter(modelOrRun, model, downloads, (trained, baseModel) =>
      openLanguageModel(baseModel, trained, { device, batchSize, dtype }),
    );
  return closing(await loadModel(modelOrRun, downloads), (baseModel) =>
    openLanguageModel(baseModel, null, { device, batchSize, dtype }),
  );
}

/** Puts a model, with an adapter if there is one, on a device. */
export async function openLanguageModel(
  baseModel: BaseModel,
  adapter: Adapter | null,
  { device, batchSize, dtype }: Pick<LanguageModelOptions, "device" | "batchSize" | "dtype">,
): Promise<Opened> {
  const { config } = baseModel;
  const first = adapter ?? noAdapter(baseModel);
  const sequences = resolveBatchSize(config, batchSize);
  const tokens = Math.max(sequences, Math.min(PREFILL_TOKENS, config.n_positions));
  const capacity = { tokens, sequences };
  const spec = lmSpec(config, first.meta, dtypeOn(first.meta, dtype, device));
  const tokenizer = await tokenizerOf(baseModel, first.meta);
  const kind: ModelKind<Decoder> = {
    spec,
    layout: "tokens",
    makeWork: (on, plan) => generationWork(on, plan as DecoderPlan, Decoder),
    plan: (on) => Decoder.plan(on, { spec, capacity }),
    create: (on, sharedFrom) => Decoder.create(on, { spec, capacity }, sharedFrom),
  };
  return [await loadModelWith(backendOf(device), baseModel, first, kind), tokenizer];
}

/** See `LanguageModel.generate`. */
export function generateAll(
  decoder: Decoder,
  tokenizer: Tokenizer,
  prompts: string | readonly Prompt[],
  options: GenerateOptions,
  replace: ReplaceDecoder,
): AsyncGenerator<GenerationChunk, void, void> {
  checkArguments({ prompts }, { prompts: PROMPTS });
  checkOptions("options", options, GENERATE_OPTIONS);
  return generate(decoder, tokenizer, [prompts].flat(), options, replace);
}

/** See `LanguageModel.score`. */
export async function score(engine: Decoder, tokenizer: Tokenizer, text: string): Promise<TextScore> {
  const targets = tokenizer.encode(text, { addSpecialTokens: false });
  const tokens = targets.length;
  if (tokens === 0)
    throw new DataError("nothing-to-predict", "there is nothing to predict in the text", { found: "an empty text" });
  const ids = shifted(tokenizer, targets);
  const { spec } = engine.plan;
  const context = textContext(spec.config, spec);
  let sum = 0;
  for (let first = 0; first < tokens; first += context) {
    const end = Math.min(first + context, tokens);
    const chunk = { slot: 0, position: 0, ids: ids.subarray(first, end) };
    const losses = await engine.losses(chunk, targets.subarray(first, end));
    sum += losses.reduce((total, loss) => total + loss, 0);
  }
  const bytes = tokenizer.decodeBytes(targets).length;
  const loss = sum / tokens;
  return { tokens, bytes, loss, perplexity: Math.exp(loss), bitsPerByte: sum / Math.LN2 / bytes };
}

/** The ids from which a text's tokens are predicted: the first from the token that separates documents. */
function shifted({ beginOfText, endOfText }: Tokenizer, tokens: Uint32Array): Uint32Array {
  return Uint32Array.of(beginOfText ?? endOfText, ...tokens.subarray(0, -1));
}

function resolveBatchSize(config: ModelConfig, given: number | undefined): number {
  if (given === undefined)
    return Math.max(
      1,
      Math.min(MOST_TEXTS, Math.floor(CACHE_BYTES / (config.n_positions * keyValueColumns(config) * 4))),
    );
  checkNumber("batchSize", given, { min: 1, whole: true });
  return given;
}

/** The base model as an adapter that adds nothing. */
function noAdapter({ config, directory }: BaseModel): Adapter {
  const meta = { ...NO_ADAPTERS, base_model: directory, model: config, task: BASE_TASK, labels: [], settings: {} };
  return { meta, tensors: new Map() };
}

function lmSpec(config: ModelConfig, meta: AdapterMeta, dtype: WeightDtype): ModelSpec {
  const { title, peft } = TASKS[meta.task.objective];
  if (hasHead(meta.task))
    throw new ConfigError("wrong-task", "a classifier writes no text", {
      expected: "an adapter of a language model (CAUSAL_LM)",
      found: `an adapter of ${title} (${peft})`,
      hint: "classify labels texts with it",
    });
  return adaptedSpec(meta, { config, train_head: false, dtype });
}
