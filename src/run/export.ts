/**
 * Exports a run to other tools: an adapter directory for PEFT, or a merged model directory for transformers. What the
 * target format cannot express is detected before anything is written.
 */
import { absolutePath, exists, joinPath, listDirectory, packagePath, readBytes } from "#platform";
import { architectureName, type Objective } from "../config.ts";
import { type Decision, USUAL_THRESHOLD } from "../engine/predictions.ts";
import { ConfigError } from "../errors.ts";
import { baseDtype } from "../io/adapter-meta.ts";
import { SHARDS_INDEX, WEIGHTS } from "../io/common.ts";
import { parseCsv } from "../io/csv.ts";
import { type BaseModel, SHIPPED_MODELS } from "../io/hf.ts";
import { mergedTensors } from "../io/merge.ts";
import { readModelFile, readModelJson } from "../io/model-file.ts";
import type { OpenedAdapter } from "../io/open-adapter.ts";
import { type Adapter, type AdapterMeta, type FinalNorm, peftForm } from "../io/peft.ts";
import type { PeftForm } from "../io/peft-form.ts";
import * as names from "../io/peft-names.ts";
import { biasObstacle, peftFiles } from "../io/peft-write.ts";
import { PROBLEM_TYPES } from "../io/problem-types.ts";
import { streamSafetensors } from "../io/safetensors-write.ts";
import { readShards } from "../io/shards-index.ts";
import { CHAT_TEMPLATE, TOKENIZER_FILES, type Vocabulary } from "../io/vocabulary.ts";
import { METHODS } from "../methods/index.ts";
import { isGguf } from "../platform/paths.ts";
import type { FileContent } from "../platform/reader.ts";
import { type BaseName, nameBase } from "./base-name.ts";
import { readRecord } from "./directory.ts";
import {
  autoModelClass,
  frontMatter,
  hubTask,
  longestText,
  needsOlder,
  OLDER,
  peftCode,
  peftInstall,
  remarks,
  useCode,
} from "./peft-code.ts";
import { dataName } from "./record.ts";
import { readParts } from "./standalone.ts";

export const EXPORTS = ["peft", "merged"] as const;
export type ExportKind = (typeof EXPORTS)[number];

/** A difference between the exported model and the run's. */
interface Loss {
  kind: "bias" | "pooling" | "decision";
  reason: string;
  /** The effect of dropping it. */
  effect?: string;
}

interface ExportPlan {
  files: Map<string, FileContent>;
  losses: Loss[];
  /** Notes for the user. */
  notes: string[];
}

interface ExportOptions {
  /** The run's directory, for what it says of its data and its test set. */
  run?: string;
  /** Copies the base model beside an adapter. */
  withBase?: boolean;
  /** Describes the effect of classifying at the text's last token; called only if the run classifies elsewhere. */
  measurePooling?: () => Promise<string>;
}

/**
 * The files of an export; their contents are created when they are written. Throws ConfigError if the run cannot be
 * exported in this form.
 */
export async function planExport(
  kind: ExportKind,
  { adapter, checkpoint }: OpenedAdapter,
  { run, withBase = false, measurePooling }: ExportOptions = {},
): Promise<ExportPlan> {
  const { meta, tensors } = adapter;
  if (withBase && kind === "merged")
    throw new ConfigError("options-conflict", "a merged model has its base model in it", {
      hint: "leave out --with-base",
    });
  const form = kind === "peft" ? requirePeftForm(meta) : null;
  if (!form) checkMergeable(meta);
  const finalNorm = meta.task.objective !== "lm" ? await readFinalNorm(adapter, checkpoint) : undefined;
  const losses = listLosses(adapter, finalNorm);
  for (const loss of losses) if (loss.kind === "pooling" && measurePooling) loss.effect = await measurePooling();
  const notes: string[] = [];
  const base = nameBase(checkpoint.directory);
  const files: ExportPlan["files"] = new Map();
  if (form) {
    for (const [name, content] of peftFiles(form, meta, tensors, finalNorm)) files.set(name, content);
    if (baseDtype(meta) === "f16")
      notes.push(
        "the adapter was trained with the base model in f16; with a float32 base model, logits differ by rounding",
      );
    if (isGguf(checkpoint.directory))
      for (const [name, content] of await tokenizerFiles(meta, checkpoint)) files.set(name, content);
    if (withBase) for (const [name, content] of await baseFiles(checkpoint)) files.set(`${BASE}/${name}`, content);
    else if (base.place !== "hub")
      notes.push(`its code reads the base model in ${checkpoint.directory}; --with-base copies it beside the adapter`);
    if (needsOlder(meta)) notes.push(OLDER);
  } else {
    files.set("config.json", await mergedConfig(adapter, checkpoint));
    for (const [name, content] of await tokenizerFiles(meta, checkpoint)) files.set(name, content);
    files.set(
      "model.safetensors",
      streamSafetensors(await mergedTensors(checkpoint, adapter, finalNorm), { format: "pt" }),
    );
  }
  const copy = isGguf(checkpoint.directory) ? `${BASE}/${GGUF_BASE}` : BASE;
  const where = withBase ? copy : base.place === "hub" ? base.name : absolutePath(checkpoint.directory);
  const { end } = checkpoint.vocabulary;
  const results = run === undefined ? {} : await readResults(run, meta);
  files.set(README, readme(kind, { meta, base, where, end, results, losses, files: [...files.keys()] }));
  return { files, losses, notes };
}

/** Whether a base model has tensors for all that was trained. */
const isMergeable = (meta: AdapterMeta) => METHODS[meta.mode].isSeparate !== true;

const describeMethod = ({ mode }: AdapterMeta) => `${METHODS[mode].title} (--mode ${mode})`;

const alone = ({ mode }: AdapterMeta) => `keep the run's directory: only Lowrank reads ${METHODS[mode].title}`;

/** The adapter in PEFT's files. Throws ConfigError if it has no form there. */
function requirePeftForm(meta: AdapterMeta): PeftForm {
  const form = peftForm(meta, names);
  if (form && form.obstacle === undefined) return form;
  throw new ConfigError("not-expressible-in-format", "PEFT cannot express this model", {
    found: form?.obstacle ?? `${describeMethod(meta)}, which PEFT does not have`,
    hint: isMergeable(meta) ? "use --to merged" : alone(meta),
  });
}

function checkMergeable(meta: AdapterMeta): void {
  if (isMergeable(meta)) return;
  throw new ConfigError(
    "not-mergeable",
    "the model cannot be merged: base models have no tensors for what was trained",
    {
      found: describeMethod(meta),
      hint: peftForm(meta, names) ? "use --to peft" : alone(meta),
    },
  );
}

/** A head's bias can be folded into its weight only behind a layer norm: an RMS norm has no bias. */
async function readFinalNorm({ tensors }: Adapter, checkpoint: BaseModel): Promise<FinalNorm | undefined> {
  if (checkpoint.config.model_type) return undefined;
  const read = async (name: string) => tensors.get(name)?.data ?? (await checkpoint.read(name));
  return { weight: await read("ln_f.weight"), bias: await read("ln_f.bias") };
}

function listLosses({ meta, tensors }: Adapter, finalNorm: FinalNorm | undefined): Loss[] {
  const losses: Loss[] = [];
  const bias = biasObstacle(tensors, finalNorm);
  if (bias !== undefined) {
    const values = [...tensors.get("head.bias")!.data];
    const spread = Math.max(...values) - Math.min(...values);
    const effect = `the bias is [${values.map((value) => value.toPrecision(3)).join(", ")}]: differences of logits change by up to ${spread.toPrecision(3)}`;
    losses.push({ kind: "bias", reason: bias, effect });
  }
  const { padTo = 0, temperature, threshold } = meta.settings as Decision & { padTo?: number };
  if (temperature !== undefined)
    losses.push({
      kind: "decision",
      reason: "the run divides its logits by a temperature, which transformers does not",
      effect: `its probabilities are the softmax of logits / ${temperature.toPrecision(6)}`,
    });
  const { thresholds = [] } = meta.settings as { thresholds?: readonly number[] };
  if (thresholds.some((one) => one !== USUAL_THRESHOLD))
    losses.push({
      kind: "decision",
      reason: "the run has a threshold for each label, and transformers has one for all",
      effect: `the run predicts ${meta.labels.map((label, i) => `"${label}" from ${thresholds[i]!.toPrecision(6)}`).join(", ")}`,
    });
  if (threshold !== undefined)
    losses.push({
      kind: "decision",
      reason: "the run has a threshold, and transformers predicts the class with the larger logit",
      effect: `the run predicts "${meta.labels[1]}" from a probability of ${threshold.toPrecision(6)}`,
    });
  if (meta.task.pooling === "last" && padTo > 0)
    losses.push({
      kind: "pooling",
      reason: `the run classifies at the last of ${padTo} positions, including padding; transformers classifies at the last token of the text`,
    });
  return losses;
}

/** The adapter as the exported model computes it: classification at the last token, without padding. */
export function withoutPadding({ meta, tensors }: Adapter): Adapter {
  const { padTo = 0, ...settings } = meta.settings as { padTo?: number; maxLength?: number };
  const maxLength = padTo || settings.maxLength;
  return {
    meta: {
      ...meta,
      task: { ...meta.task, pooling: "last-token" },
      settings: { ...settings, ...(maxLength === undefined ? {} : { maxLength }) },
    },
    tensors,
  };
}

/** Describes a loss. */
export function showLoss({ reason, effect }: Loss): string {
  return effect === undefined ? reason : `${reason}; ${effect}`;
}

/** Describes how two sets of logits [messages, labels] of the same messages differ. */
export function describeChange(before: Float32Array, after: Float32Array, labels: number): string {
  const best = (logits: Float32Array, row: number) => {
    const some = logits.subarray(row * labels, (row + 1) * labels);
    return some.indexOf(Math.max(...some));
  };
  const rows = before.length / labels;
  const changed = Array.from({ length: rows }, (_, row) => row).filter((row) => best(before, row) !== best(after, row));
  const furthest = before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i]!)), 0);
  if (labels === 1) return `scores change by up to ${furthest.toPrecision(3)}`;
  return `the predicted label changes for ${changed.length} of ${rows} test messages, and logits change by up to ${furthest.toPrecision(3)}`;
}

const README = "README.md";
/** The folder of a base model. Its weights can be several files of any names. */
const BASE = "base";
/** Its file, where it is one. */
const GGUF_BASE = "model.gguf";
const BASE_FILE = /^base\/\w[\w.-]*$/;

/** The other files that an export of either form can have. */
const EXPORT_FILES = [
  "adapter_config.json",
  "adapter_model.safetensors",
  "config.json",
  "model.safetensors",
  ...TOKENIZER_FILES,
];

const MARK = "Trained with Lowrank on ";
const LISTED = "Written with this file: ";

/**
 * The files of the export in this directory, as listed in its README. Throws ConfigError if the directory holds
 * anything else, or if it holds an export and `force` is not set.
 */
export async function replaceableExport(directory: string, force: boolean): Promise<string[]> {
  if (!(await exists(directory))) return [];
  const entries = (await listDirectory(directory).catch(() => ["a file"])).filter((entry) => !entry.startsWith("."));
  if (entries.length === 0) return [];
  if (!force)
    throw new ConfigError("output-exists", "the output directory already exists", {
      where: directory,
      expected: "a new path, or an empty directory",
      hint: "choose another --out, or give --force to replace an earlier export",
    });
  const path = joinPath(directory, README);
  const text = (await exists(path)) ? new TextDecoder().decode(await readBytes(path)) : "";
  // Replacing deletes files of these names: this must not happen to a base model that was given by mistake.
  if (!text.includes(MARK))
    throw new ConfigError("not-an-export", "the output directory is not an export", {
      where: directory,
      expected: `a ${README} with "${MARK}..."`,
      hint: "choose another --out",
    });
  const [, listed = ""] = text.split(LISTED);
  const names = [...listed.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
  return [README, ...names.filter((name) => EXPORT_FILES.includes(name) || BASE_FILE.test(name))];
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** The base model's config.json with the changes of the merged model. */
async function mergedConfig({ meta, tensors }: Adapter, checkpoint: BaseModel): Promise<string> {
  const base = await readModelJson(checkpoint.directory, "config.json");
  const { model_type = "gpt2" } = checkpoint.config;
  // The beginning of the names of transformers' classes.
  const name = architectureName(checkpoint.config).replace("-", "");
  const config: Record<string, unknown> = { ...base, model_type, torch_dtype: "float32" };
  delete config.dtype;
  delete config.quantization_config;
  const { objective } = meta.task;
  if (objective === "lm") {
    const untied = tensors.has("lora.head.A");
    return json({
      ...config,
      architectures: [model_type === "gpt2" ? "GPT2LMHeadModel" : `${name}ForCausalLM`],
      ...(untied ? { tie_word_embeddings: false } : {}),
    });
  }
  return json({
    ...config,
    architectures: [`${name}ForSequenceClassification`],
    num_labels: meta.labels.length,
    id2label: Object.fromEntries(meta.labels.map((label, i) => [i, label])),
    label2id: Object.fromEntries(meta.labels.map((label, i) => [label, i])),
    // transformers only compares ids with it. No text contains it, so the last non-padding token is the text's last
    // token.
    pad_token_id: checkpoint.vocabulary.end.id,
    problem_type: PROBLEM_TYPES[objective],
  });
}

/** A model's vocabulary files; of GPT-2's vocabulary, which a model may lack, those of the bundled base model. */
async function vocabularyFiles({ directory, vocabulary, config }: BaseModel): Promise<Map<string, FileContent>> {
  const files = new Map<string, FileContent>();
  const isGpt2 = vocabulary.tables === null && config.vocab_size > vocabulary.end.id;
  for (const place of [directory, ...(isGpt2 ? [packagePath(`data/models/${SHIPPED_MODELS[0]}`)] : [])]) {
    for (const name of ["vocab.json", "merges.txt", "tokenizer.json", "added_tokens.json", CHAT_TEMPLATE]) {
      const content = await readModelFile(place, name);
      if (content !== undefined) files.set(name, content);
    }
    if (files.has("vocab.json") || files.has("tokenizer.json")) break;
  }
  return files;
}

/** The files of the base model, as they are. */
async function baseFiles(checkpoint: BaseModel): Promise<Map<string, FileContent>> {
  if (isGguf(checkpoint.directory)) return new Map([[GGUF_BASE, readParts(checkpoint.directory)]]);
  const path = (name: string) => joinPath(checkpoint.directory, name);
  const files = await vocabularyFiles(checkpoint);
  const weights = (await exists(path(WEIGHTS)))
    ? [WEIGHTS]
    : [SHARDS_INDEX, ...(await readShards(path(SHARDS_INDEX))).keys()];
  for (const name of ["config.json", "tokenizer_config.json", "special_tokens_map.json", ...weights])
    if (await exists(path(name))) files.set(name, readParts(path(name)));
  return files;
}

/** The model's tokenizer, padding with the token that ends a text. */
async function tokenizerFiles(meta: AdapterMeta, checkpoint: BaseModel): Promise<Map<string, FileContent>> {
  const files = await vocabularyFiles(checkpoint);
  const own = "tokenizer_config.json";
  // transformers reads older files' special_tokens_map.json after the settings: it becomes part of them.
  const base = {};
  for (const name of ["special_tokens_map.json", own])
    Object.assign(base, await readModelJson(checkpoint.directory, name));
  const end = checkpoint.vocabulary.end.text;
  const isOther = checkpoint.vocabulary.pretokenizer !== "gpt-2";
  const config = {
    add_prefix_space: false,
    bos_token: end,
    eos_token: end,
    tokenizer_class: "GPT2Tokenizer",
    unk_token: end,
    ...base,
    // transformers 5 splits texts of its GPT2Tokenizer by GPT-2's pattern, whatever tokenizer.json has (SmolLM2's).
    ...(isOther && files.has("tokenizer.json") ? { tokenizer_class: "PreTrainedTokenizerFast" } : {}),
    model_max_length: longestText(meta),
    pad_token: end,
    // Padding on the left would shift the position embeddings.
    padding_side: "right",
    truncation_side: "right",
  };
  return files.set(own, json(config));
}

/** The column of metrics.csv with what a run is judged by, and the hub's name of it. */
const MEASURED: Record<Objective, readonly [column: string, type: string]> = {
  classification: ["acc", "accuracy"],
  regression: ["rmse", "rmse"],
  "multi-label": ["micro_f1", "f1"],
  lm: ["ppl", "perplexity"],
};

/** What a run measured on its test set, for the head of a model card; empty where it does not say. */
async function readResults(run: string, meta: AdapterMeta): Promise<object> {
  const path = joinPath(run, "metrics.csv");
  if (!(await exists(path))) return {};
  const [columns = [], values = []] = parseCsv(new TextDecoder().decode(await readBytes(path)));
  const [column, type] = MEASURED[meta.task.objective];
  const value = values[columns.indexOf(`final_test_${column}`)] ?? "";
  if (value === "") return {};
  const data = dataName(await readRecord(run));
  const metrics = [{ type, value: Number(value) }];
  const results = [{ task: { type: hubTask(meta) }, dataset: { name: data, type: data }, metrics }];
  return { metrics: [type], "model-index": [{ name: METHODS[meta.mode].title, results }] };
}

interface Readme {
  meta: AdapterMeta;
  base: BaseName;
  /** The base model for Python, in the directory of the export. */
  where: string;
  end: Vocabulary["end"];
  results: object;
  losses: Loss[];
  files: string[];
}

function readme(kind: ExportKind, { meta, base, where, end, results, losses, files }: Readme): string {
  const auto = autoModelClass(meta);
  const isMerged = kind === "merged";
  const name = architectureName(meta.model);
  const title = isMerged ? `A fine-tuned ${name}` : `${name} with ${METHODS[meta.mode].title}`;
  const load = isMerged
    ? [
        `from transformers import AutoTokenizer, ${auto}`,
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        `model = ${auto}.from_pretrained(".")`,
      ]
    : peftCode(meta, end, where, ".");
  const differences = losses.map((loss) => `- ${showLoss(loss)}`);
  return [
    ...frontMatter(meta, base, isMerged ? "transformers" : "peft", results),
    `# ${title}`,
    "",
    `${MARK}${meta.base_model}: ${METHODS[meta.mode].title}.`,
    "",
    `In this directory, after \`${isMerged ? "pip install transformers torch" : peftInstall(meta)}\`:`,
    "",
    "```python",
    ...load,
    ...useCode(meta, end),
    "```",
    "",
    ...remarks(meta, end),
    ...(differences.length > 0
      ? ["", "It differs from the run, because the format cannot express:", "", ...differences]
      : []),
    "",
    `${LISTED}${files.map((name) => `\`${name}\``).join(", ")}.`,
    "",
  ].join("\n");
}
