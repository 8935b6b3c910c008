/** GPT-2 checkpoints in Hugging Face's layout: a directory with config.json and model.safetensors. */

import { absolutePath, exists, joinPath, openFile, packagePath } from "#platform";
import { checkArguments, checkOptions } from "../arguments.ts";
import { type GPT2Config, parseConfig } from "../config.ts";
import { asyncDispose } from "../dispose.ts";
import { ConfigError, FormatError, nameList } from "../errors.ts";
import { baseShapes } from "../names.ts";
import { type Shape, sameShape, showShape } from "../tensor.ts";
import { count, readJson } from "./common.ts";
import { DOWNLOAD_OPTIONS, type DownloadOptions } from "./download-options.ts";
import { type Dtype, FLOATS, SafetensorsFile } from "./safetensors.ts";
import type { TokenConfig } from "./tokenizer-files.ts";
import { GPT2_VOCABULARY, type Vocabulary } from "./vocabulary.ts";

/** Models that ship with the package, in data/models. */
export const SHIPPED_MODELS = ["gpt2-micro"] as const;

/** A checkpoint whose files have been found and checked. Its tensors are read from disk on request. */
export interface GPT2Checkpoint {
  readonly directory: string;
  readonly config: GPT2Config;
  /** Of its tokenizer's files; GPT-2's where it has none. */
  readonly vocabulary: Vocabulary;
  /** Canonical names (without `transformer.`), in the order of `baseShapes`; then `score.weight` if the file has one. */
  readonly names: readonly string[];
  shape(name: string): Shape;
  /** Values of a tensor, or of its rows [rowStart, rowEnd) along the first dimension, as floats. */
  read(name: string, rowStart?: number, rowEnd?: number): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/**
 * The directory of a model. `nameOrDirectory` is, in this order: a model that ships with the package, a directory, or a model
 * of the Hugging Face hub, which is downloaded into the local cache unless it is there.
 * Throws ConfigError, listing the known names, for any other name, DownloadError if the download fails.
 */
export async function resolveModel(nameOrDirectory: string, options: DownloadOptions = {}): Promise<string> {
  if ((SHIPPED_MODELS as readonly string[]).includes(nameOrDirectory))
    return packagePath(`data/models/${nameOrDirectory}`);
  // A URL has no directories: test for a file.
  if ((await exists(joinPath(nameOrDirectory, "config.json"))) || (await exists(nameOrDirectory)))
    return nameOrDirectory;
  // Imported on demand: few pages use the hub.
  return (await import("./hub-model.ts")).resolveHubModel(nameOrDirectory, SHIPPED_MODELS, options);
}

/** Whether a directory is that of a model that ships with the package; its tokenizer need not be read. */
function isShipped(directory: string): boolean {
  return SHIPPED_MODELS.some((name) => absolutePath(packagePath(`data/models/${name}`)) === absolutePath(directory));
}

/**
 * Opens a model by directory or by name, downloading it if needed. Call `close()` when it is no longer used, or open it with
 * `await using`.
 *
 * @example
 * ```ts
 * import { loadModel } from "lowrank";
 *
 * const model = await loadModel("gpt2", { onProgress: ({ file, loaded, total }) => console.log(file, loaded, total) });
 * console.log(model.config.n_layer); // 12
 * await model.close();
 * ```
 */
export async function loadModel(
  nameOrDirectory: string,
  options: DownloadOptions = {},
): Promise<GPT2Checkpoint & AsyncDisposable> {
  checkArguments({ nameOrDirectory }, { nameOrDirectory: "text" });
  checkOptions("options", options, DOWNLOAD_OPTIONS);
  return openGPT2(await resolveModel(nameOrDirectory, options));
}

/**
 * Opens a checkpoint and checks that it has every tensor of its config, with the right shape.
 * Throws ConfigError if files are missing or the model is not supported, FormatError if a file is invalid.
 */
export async function openGPT2(directory: string): Promise<GPT2Checkpoint & AsyncDisposable> {
  await requireFiles(directory);
  const configPath = joinPath(directory, "config.json");
  const json = await readJson(configPath);
  const config = parseConfig(json, configPath);
  const vocabulary = isShipped(directory)
    ? GPT2_VOCABULARY
    : await (await import("./tokenizer-files.ts")).readVocabulary(directory, json as TokenConfig);
  const reader = await openFile(joinPath(directory, "model.safetensors"));
  try {
    const file = await SafetensorsFile.open(reader);
    const stored = matchTensors(file, config, reader.name);
    const find = (name: string) => {
      const found = stored.get(name);
      if (found === undefined) throw new FormatError(`there is no tensor ${name}`, { where: reader.name });
      return found;
    };
    let isClosed = false;
    const close = async () => {
      if (!isClosed) await file.close();
      isClosed = true;
    };
    return {
      directory,
      config,
      vocabulary,
      names: [...stored.keys()],
      shape: (name) => file.info(find(name)).shape,
      read: async (name, rowStart, rowEnd) => {
        if (isClosed)
          throw new ConfigError("the model is closed", { where: directory, hint: "close it after its last use" });
        return file.readF32(find(name), rowStart, rowEnd);
      },
      close,
      [asyncDispose]: close,
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function requireFiles(directory: string): Promise<void> {
  const has = (file: string) => exists(joinPath(directory, file));
  const missing: string[] = [];
  for (const file of ["config.json", "model.safetensors"]) if (!(await has(file))) missing.push(file);
  if (missing.length === 0) return;
  if (!(await exists(directory)))
    throw new ConfigError("the model directory does not exist", {
      where: directory,
      hint: `shipped models: ${SHIPPED_MODELS.join(", ")}`,
    });
  let hint = "download the model's files, in Hugging Face's layout, into that directory";
  if ((await has("adapter_config.json")) || (await has("lowrank.json")))
    hint = "this is a trained adapter: give the directory of its base model instead";
  else if (await has("model.safetensors.index.json"))
    hint = "sharded models are not supported: save the model as one file, with a larger max_shard_size";
  else if (await has("pytorch_model.bin"))
    hint = "only safetensors are supported: save the model with safe_serialization=True";
  throw new ConfigError(`the model directory lacks ${missing.join(" and ")}`, { where: directory, hint });
}

/** Redundant tensors of some checkpoints: the causal mask, and the head tied to wte. */
const IGNORED = /^(h\.\d+\.attn\.(bias|masked_bias)|lm_head\.weight)$/;
const HEAD = "score.weight";

/** Maps the canonical name of every tensor to its name in the file. Throws FormatError. */
function matchTensors(file: SafetensorsFile, config: GPT2Config, where: string): Map<string, string> {
  const inFile = new Map<string, string>();
  for (const stored of file.names) {
    const name = stored.replace(/^transformer\./, "");
    const other = inFile.get(name);
    if (other !== undefined)
      throw new FormatError(`duplicate tensor ${name}`, { where, found: `${other} and ${stored}` });
    inFile.set(name, stored);
  }
  const expected = baseShapes(config);
  const missing = [...expected.keys()].filter((name) => !inFile.has(name));
  if (missing.length > 0)
    throw new FormatError(`the model file lacks ${count(missing, "tensor")}`, {
      where,
      expected: nameList(missing),
      found: nameList([...inFile.keys()]),
    });
  const extra = [...inFile.keys()].filter((name) => !expected.has(name) && name !== HEAD && !IGNORED.test(name));
  if (extra.length > 0)
    throw new FormatError(`the model file has ${count(extra, "unexpected tensor")}`, {
      where,
      expected: `n_layer = ${config.n_layer} blocks`,
      found: nameList(extra),
      hint: "check that the config.json belongs to this file",
    });
  const stored = new Map<string, string>();
  for (const [name, shape] of expected) {
    const { dtype, shape: found } = file.info(inFile.get(name)!);
    checkShape(name, found, shape, where);
    if (!(FLOATS as readonly Dtype[]).includes(dtype))
      throw new FormatError(`${name} has the wrong element type`, { where, expected: FLOATS.join(", "), found: dtype });
    stored.set(name, inFile.get(name)!);
  }
  const head = inFile.get(HEAD);
  if (head !== undefined) {
    const { shape } = file.info(head);
    checkShape(HEAD, shape, [shape[0] ?? 0, config.n_embd], where);
    stored.set(HEAD, head);
  }
  return stored;
}

function checkShape(name: string, found: Shape, expected: Shape, where: string): void {
  if (sameShape(found, expected)) return;
  const isTransposed = expected.length === 2 && sameShape([...found].reverse(), expected);
  throw new FormatError(`${name} has the wrong shape`, {
    where,
    expected: showShape(expected),
    found: showShape(found),
    hint: isTransposed
      ? "transpose it: the weights of GPT-2's Conv1D are stored as [in, out]"
      : "check that the config.json belongs to this file",
  });
}
