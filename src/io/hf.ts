/** Checkpoints in Hugging Face's layout: a directory with config.json, and model.safetensors or its shards. */

import { exists, isServed, joinPath, packagePath } from "#platform";
import { checkArguments, checkOptions, lookUp } from "../core/checks.ts";
import { isEncoder, type ModelConfig } from "../core/config.ts";
import { asyncDispose } from "../core/dispose.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import { baseShapes, lmHeadShapes } from "../core/names.ts";
import type { Shape } from "../core/tensor.ts";
import { isGguf, isRemote } from "../platform/paths.ts";
import type { Pooling } from "../tasks/index.ts";
import { parseModelConfig, readJson, refuseQuantized, SHARDS_INDEX, WEIGHTS } from "./common.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "./hub/download-options.ts";
import { joinParts } from "./parts.ts";
import { openSafetensors } from "./safetensors/safetensors.ts";
import {
  checkNames,
  checkShape,
  type Dtype,
  FLOATS,
  OF_CONFIG,
  OTHER_TENSORS,
  type Stored,
  type TensorFile,
  type TensorFiles,
  type TensorSource,
} from "./safetensors/tensor-file.ts";
import { untieOther } from "./tied-head.ts";
import type { TokenConfig } from "./tokenizer/tokenizer-files.ts";
import { GPT2_VOCABULARY, type Vocabulary } from "./tokenizer/vocabulary.ts";

/** Models that ship with the package, by name: where their directory or GGUF file is in it. */
export const SHIPPED_MODELS = {
  "gpt2-micro": "data/models/gpt2-micro",
  "e5-small-cut": "data/models/e5-small-cut/e5-small-cut.gguf",
} as const;

/**
 * The base model of what is learned of messages: multilingual-e5-small, an encoder of many languages, with the pieces
 * of words that most texts have. It learns more from the same rows than gpt2-micro, and takes longer.
 */
export const DEFAULT_BASE = "e5-small-cut";

/** Where GPT-2's vocabulary is, which a GPT-2 may lack. */
export const GPT2_FILES = SHIPPED_MODELS["gpt2-micro"];

/** A checkpoint whose files have been found and checked. Its tensors are read from disk on request. */
export interface BaseModel {
  readonly directory: string;
  readonly config: ModelConfig;
  /** The `problem_type` of its config.json, which tells what transformers trains its `score` for. */
  readonly problemType?: unknown;
  /** Of its tokenizer's files; GPT-2's where it has none. */
  readonly vocabulary: Vocabulary;
  /** How a vector of a text is made, where a folder of sentence-transformers says it. */
  readonly pooling?: Pooling | undefined;
  /** Canonical names (without `transformer.`) in `baseShapes` order; then untied `lm_head.weight`, `score.weight`. */
  readonly names: readonly string[];
  shape(name: string): Shape;
  /** Values of a tensor, or of its rows [rowStart, rowEnd) along the first dimension, as floats. */
  read(name: string, rowStart?: number, rowEnd?: number): Promise<Float32Array<ArrayBuffer>>;
  /** The file of each tensor; a model that is computed has none. */
  readonly files?: ReadonlyMap<string, TensorFile>;
  /** Its fingerprint, of a model that was kept by it. */
  readonly fingerprint?: string;
  /** Keeps a model from a server, once its fingerprint is known to be the one that it was opened with. */
  keep?(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The directory of a model, or its GGUF file. `nameOrDirectory` is, in this order: a model that ships with the package,
 * a GGUF file, a directory, or a model of the Hugging Face hub, which is downloaded into the local cache unless it is
 * there.
 * Without `weights` only its config and its tokenizer are downloaded. Throws ConfigError, listing the known names, for
 * any other name, DownloadError if the download fails.
 */
export async function resolveModel(
  nameOrDirectory: string,
  options: DownloadOptions = {},
  weights = true,
): Promise<string> {
  const shipped = lookUp(SHIPPED_MODELS, nameOrDirectory);
  if (shipped !== undefined) return packagePath(shipped);
  if (isGguf(nameOrDirectory) || isServed(nameOrDirectory)) return nameOrDirectory;
  if (await exists(nameOrDirectory)) return nameOrDirectory;
  // Imported on demand: few pages use the hub.
  return (await import("./hub/hub-model.ts")).resolveHubModel(nameOrDirectory, SHIPPED_MODELS, options, weights);
}

/** Imported on demand: few models are in such a file. */
const openGguf = async (path: string) => (await import("./gguf/gguf-model.ts")).openGguf(path);

/**
 * Opens a model by directory, by GGUF file or by name, downloading it if needed. Call `close()` when it is no longer
 * used, or open it with `await using`.
 *
 * @example
 * ```ts
 * import { loadModel } from "lowrank/engine";
 *
 * const model = await loadModel("gpt2", { onProgress: ({ file, loaded, total }) => console.log(file, loaded, total) });
 * console.log(model.config.n_layer); // 12
 * await model.close();
 * ```
 */
export async function loadModel(
  nameOrDirectory: string,
  options: DownloadOptions = {},
): Promise<BaseModel & AsyncDisposable> {
  checkArguments({ nameOrDirectory }, { nameOrDirectory: "text" });
  checkOptions("options", options, DOWNLOAD_OPTIONS);
  return openBaseModel(await resolveModel(nameOrDirectory, options));
}

/**
 * Opens a checkpoint and checks that it has every tensor of its config, with the right shape. One on a server that was
 * kept with this fingerprint is not downloaded.
 * Throws ConfigError if files are missing or the model is not supported, FormatError if a file is invalid.
 */
export async function openBaseModel(directory: string, fingerprint?: string): Promise<BaseModel & AsyncDisposable> {
  // The package's models are known, and need not be asked for; nor can they be kept without a fingerprint.
  const isHere = !isServed(directory) || (fingerprint === undefined && !isRemote(directory));
  if (isHere) return openFrom(directory, directory);
  const { openServed } = await import("./hub/served.ts");
  return openServed(directory, { isGpt2: isShippedGpt2(directory), fingerprint }, (place) =>
    openFrom(place, directory),
  );
}

/** Opens the files in `place` as the model of this directory. */
async function openFrom(place: string, directory: string): Promise<BaseModel & AsyncDisposable> {
  const { json, config: described, tensors, ...opened } = await openFiles(place, directory);
  const { where } = tensors;
  try {
    const { vocabulary, pooling } = await asSentences(place, described, opened.vocabulary);
    const named = namedTensors(tensors);
    // Imported on demand: few files have a head that the config ties to the token table.
    const config =
      described.tie_word_embeddings !== false && (named.has(LM_HEAD) || named.has(NEOX_HEAD))
        ? await untieOther(described, named)
        : described;
    // Imported on demand, as is all that only other models than GPT-2 need.
    const modelConfig = config.model_type ? joinParts(named, config, where) : named;
    const stored = matchTensors(modelConfig, config, where);
    const find = (name: string) => {
      const tensor = stored.get(name);
      if (tensor === undefined)
        throw new FormatError("no-such-tensor", `there is no tensor ${name}`, {
          where,
          ...(name === LM_HEAD && {
            hint: "its config has tie_word_embeddings = false: a language model needs a head",
          }),
        });
      return tensor;
    };
    const requireOpen = () => {
      if (isClosed)
        throw new ConfigError("already-destroyed", "the model is closed", {
          where: directory,
          hint: "close it after its last use",
        });
    };
    let isClosed = false;
    const close = async () => {
      if (!isClosed) await tensors.close();
      isClosed = true;
    };
    const read: BaseModel["read"] = async (name, rowStart, rowEnd) => {
      requireOpen();
      const { file, key } = find(name);
      return file.readF32(key, rowStart, rowEnd);
    };
    return {
      directory,
      config,
      problemType: json.problem_type,
      vocabulary,
      pooling,
      names: [...stored.keys()],
      shape: (name) => find(name).info.shape,
      read,
      files: tensors.files,
      close,
      [asyncDispose]: close,
    };
  } catch (error) {
    await tensors.close();
    throw error;
  }
}

/**
 * Opens the config and the tokenizer of a model, by directory or by name: what a plan needs. The weights are not read
 * and need not exist.
 */
export async function describeModel(nameOrDirectory: string, options: DownloadOptions = {}): Promise<BaseModel> {
  const directory = await resolveModel(nameOrDirectory, options, false);
  const refuse = () => {
    throw new ConfigError("weights-not-opened", "the weights of this model were not opened", { where: directory });
  };
  const describe = async (place: string) => {
    const { config, vocabulary } = await readDescription(place, directory);
    return { config, ...(await asSentences(place, config, vocabulary)) };
  };
  const described =
    isServed(directory) && !isGguf(directory)
      ? await (await import("./hub/served.ts")).describeServed(directory, describe)
      : await describe(directory);
  return {
    directory,
    ...described,
    names: [],
    shape: refuse,
    read: refuse,
    close: async () => {},
  };
}

/** Whether a model's vocabulary is GPT-2's, whose files need not be read. */
const isShippedGpt2 = (directory: string) => directory === packagePath(GPT2_FILES);

/** How an encoder reads texts, if its folder is one of sentence-transformers; a GGUF file may be in such a folder. */
async function asSentences(place: string, config: ModelConfig, vocabulary: Vocabulary) {
  if (!isEncoder(config)) return { vocabulary };
  const { readSentence, withPrompt } = await import("./sentence-transformers.ts");
  const { pooling, prompt } = await readSentence(place);
  return { pooling, vocabulary: await withPrompt(vocabulary, prompt) };
}

/** The config, the tokenizer and the tensors of a model. */
async function openFiles(place: string, directory: string) {
  if (isGguf(place)) return openGguf(place);
  await requireFiles(place, directory);
  return { ...(await readDescription(place, directory)), tensors: await openTensors(place) };
}

/** The config and the tokenizer of a model. */
async function readDescription(place: string, directory: string) {
  if (isGguf(place)) {
    const { tensors, ...description } = await openGguf(place);
    await tensors.close();
    return description;
  }
  const configPath = joinPath(place, "config.json");
  const json = (await readJson(configPath)) as TokenConfig & Record<string, unknown>;
  const config = await parseModelConfig(json, configPath);
  // Imported on demand: a page begins with models whose tokens are known, or in their GGUF file.
  const vocabulary = isShippedGpt2(directory)
    ? GPT2_VOCABULARY
    : await (await import("./tokenizer/tokenizer-files.ts")).readVocabulary(place, json);
  return { json, config, vocabulary };
}

async function openTensors(directory: string): Promise<TensorFiles> {
  const where = joinPath(directory, WEIGHTS);
  if (!(await exists(where))) return (await import("./safetensors/shards.ts")).openShards(directory);
  const file = await openSafetensors(where);
  return { where, files: new Map(file.names.map((name) => [name, file])), close: () => file.close() };
}

/** Throws ConfigError, with what is there instead, if a model's directory lacks a file. */
async function requireFiles(place: string, directory: string): Promise<void> {
  const has = (file: string) => exists(joinPath(place, file));
  const missing: string[] = [];
  if (!(await has("config.json"))) missing.push("config.json");
  if (!(await has(WEIGHTS)) && !(await has(SHARDS_INDEX))) missing.push(WEIGHTS);
  if (missing.length > 0) throw await missingFiles(directory, missing, SHIPPED_MODELS);
}

/** Redundant tensors of some checkpoints: the causal mask, and a head tied to wte. */
const IGNORED = /^(h\.\d+\.attn\.(bias|masked_bias)|lm_head\.weight)$/;
/** Tensors that bitsandbytes and GPTQ store with the codes of a matrix. */
const QUANTIZED = /\.(SCB|weight\.absmax|qweight)$/;
const LM_HEAD = "lm_head.weight";
/** Its name in the files of a GPT-NeoX. */
const NEOX_HEAD = "embed_out.weight";
/** The prefix of names in files: see layouts.ts. */
const PREFIX = /^(transformer|model|gpt_neox|bert|roberta)\./;
/** Old names of the parameters of a norm. */
const OLD_NORM = { gamma: "weight", beta: "bias" } as const;
const HEAD = "score.weight";

/** Every tensor by its canonical name. Throws FormatError. */
function namedTensors({ files, where }: TensorFiles): Map<string, Stored> {
  const tensors = new Map<string, Stored>();
  for (const [key, file] of files) {
    const name = key
      .replace(PREFIX, "")
      .replace(/(?<=LayerNorm\.)(gamma|beta)$/, (old) => OLD_NORM[old as keyof typeof OLD_NORM]);
    const other = tensors.get(name);
    if (other !== undefined)
      throw new FormatError("duplicate-tensor", `duplicate tensor ${name}`, {
        where,
        found: `${other.key} and ${key}`,
      });
    if (QUANTIZED.test(key)) refuseQuantized(where, key);
    tensors.set(name, { file, key, info: file.info(key) });
  }
  return tensors;
}

/** Those of the model. Throws FormatError if one is missing or wrong. */
function matchTensors(
  found: ReadonlyMap<string, Stored<TensorSource>>,
  config: ModelConfig,
  where: string,
): Map<string, Stored<TensorSource>> {
  const expected = baseShapes(config);
  // A classifier may lack the head of a language model.
  for (const [name, shape] of lmHeadShapes(config)) if (found.has(name)) expected.set(name, shape);
  const names = [...found.keys()].filter((name) => expected.has(name) || (name !== HEAD && !IGNORED.test(name)));
  checkNames(names, expected.keys(), OTHER_TENSORS, where, OF_CONFIG);
  const head = found.get(HEAD);
  if (head !== undefined) expected.set(HEAD, [head.info.shape[0] ?? 0, config.n_embd]);
  for (const [name, shape] of expected) {
    const { dtype, shape: given } = found.get(name)!.info;
    checkShape(name, given, shape, where, OF_CONFIG);
    if (!(FLOATS as readonly Dtype[]).includes(dtype))
      throw new FormatError("wrong-dtype", `${name} has the wrong element type`, {
        where,
        expected: FLOATS.join(", "),
        found: dtype,
      });
  }
  return new Map([...expected.keys()].map((name) => [name, found.get(name)!]));
}

/** The error for a directory that lacks some of a model's files. `shipped`: the models that need no directory. */
async function missingFiles(directory: string, missing: readonly string[], shipped: object): Promise<ConfigError> {
  const has = (file: string) => exists(joinPath(directory, file));
  if (!(await exists(directory)))
    return new ConfigError("no-such-model", "the model directory does not exist", {
      where: directory,
      hint: `shipped models: ${Object.keys(shipped).join(", ")}`,
    });
  const pickled: string[] = [];
  for (const file of ["pytorch_model.bin", "pytorch_model.bin.index.json"]) if (await has(file)) pickled.push(file);
  if (missing[0] === WEIGHTS && pickled.length > 0)
    return new ConfigError(
      "pickled-weights",
      `${pickled[0]!.replace(".index.json", "")} is not supported: it can run code when it is read`,
      {
        where: directory,
        expected: WEIGHTS,
        hint: `convert it: ${await conversionCommand(directory)}`,
      },
    );
  const isAdapter = (await has("adapter_config.json")) || (await has("lowrank.json"));
  return new ConfigError("missing-model-files", `the model directory lacks ${missing.join(" and ")}`, {
    where: directory,
    hint: isAdapter
      ? "this is a trained adapter: give the directory of its base model instead"
      : "put the model's files, in Hugging Face's layout, into that directory",
  });
}

/** The command that writes a directory's PyTorch weights as safetensors. */
async function conversionCommand(directory: string): Promise<string> {
  const json = (await readJson(joinPath(directory, "config.json"))) as { architectures?: unknown } | null;
  const named = [json?.architectures].flat()[0];
  const model = typeof named === "string" && /^GPT2\w{0,40}$/.test(named) ? named : "GPT2LMHeadModel";
  const path = JSON.stringify(directory).slice(1, -1).replaceAll("'", "\\'");
  return `python -c "from transformers import ${model} as M; M.from_pretrained('${path}').save_pretrained('${path}', safe_serialization=True)"`;
}
