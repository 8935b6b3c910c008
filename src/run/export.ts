/**
 * A run for other tools: an adapter directory for PEFT, or a merged model directory for transformers. What the other side
 * cannot express is found out before anything is written.
 */
import { exists, joinPath, listDirectory, readBytes } from "#platform";
import { END_OF_TEXT_ID } from "../data/tokenizer.ts";
import { ConfigError } from "../errors.ts";
import { baseDtype } from "../io/adapter-meta.ts";
import { readJson } from "../io/common.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import { mergedTensors } from "../io/merge.ts";
import type { OpenedAdapter } from "../io/open-adapter.ts";
import { type Adapter, type AdapterMeta, asLora, type FinalNorm } from "../io/peft.ts";
import { biasObstacle, peftFiles, peftObstacle } from "../io/peft-write.ts";
import { streamSafetensors } from "../io/safetensors.ts";
import type { FileContent } from "../platform/reader.ts";

export const EXPORTS = ["peft", "merged"] as const;
export type ExportKind = (typeof EXPORTS)[number];

/** Something that the exported model does otherwise than the run's. */
export interface Loss {
  kind: "bias" | "pooling";
  reason: string;
  /** What dropping it does. */
  effect?: string;
}

export interface ExportPlan {
  files: Map<string, FileContent>;
  losses: Loss[];
  /** Remarks for the person who exports. */
  notes: string[];
}

/**
 * The files of an export, made when they are written. `measurePooling` says what classifying at the text's last token does;
 * it is called only where that is another row. Throws ConfigError where the form does not fit the
 * run at all.
 */
export async function planExport(
  kind: ExportKind,
  { adapter, checkpoint }: OpenedAdapter,
  measurePooling?: () => Promise<string>,
): Promise<ExportPlan> {
  const { meta, tensors } = adapter;
  const finalNorm = meta.task.objective === "classification" ? await finalNormOf(adapter, checkpoint) : undefined;
  const losses = lossesOf(adapter, finalNorm);
  for (const loss of losses) if (loss.kind === "pooling" && measurePooling) loss.effect = await measurePooling();
  const notes: string[] = [];
  const files: ExportPlan["files"] = new Map();
  if (kind === "peft") {
    const lora = asLora(meta);
    const obstacle = lora ? peftObstacle(lora) : `mode ${meta.mode} has no adapters`;
    if (!lora || obstacle !== undefined)
      throw new ConfigError("PEFT cannot hold this model", { found: obstacle!, hint: "use --to merged" });
    for (const [name, content] of peftFiles(lora, tensors, finalNorm)) files.set(name, content);
    if (baseDtype(meta) === "f16")
      notes.push("the run kept the base model in f16; beside one in float32 logits differ by that rounding");
  } else {
    files.set("config.json", await mergedConfig(adapter, checkpoint));
    const tokenizer = await tokenizerFiles(meta, checkpoint);
    for (const [name, content] of tokenizer) files.set(name, content);
    if (!tokenizer.has("vocab.json"))
      notes.push(`the base model's directory has no vocab.json and merges.txt: the tokenizer is GPT-2's`);
    files.set("model.safetensors", streamSafetensors(mergedTensors(checkpoint, adapter, finalNorm), { format: "pt" }));
  }
  files.set(README, readme(kind, adapter, losses, [...files.keys()]));
  return { files, losses, notes };
}

async function finalNormOf({ tensors }: Adapter, checkpoint: GPT2Checkpoint): Promise<FinalNorm> {
  const read = async (name: string) => tensors.get(name)?.data ?? (await checkpoint.read(name));
  return { weight: await read("ln_f.weight"), bias: await read("ln_f.bias") };
}

function lossesOf({ meta, tensors }: Adapter, finalNorm: FinalNorm | undefined): Loss[] {
  const losses: Loss[] = [];
  const bias = biasObstacle(tensors, finalNorm);
  if (bias !== undefined) {
    const values = [...tensors.get("head.bias")!.data];
    const spread = Math.max(...values) - Math.min(...values);
    const effect = `the bias is [${values.map((value) => value.toPrecision(3)).join(", ")}]: differences of logits move by up to ${spread.toPrecision(3)}`;
    losses.push({ kind: "bias", reason: bias, effect });
  }
  const { padTo = 0 } = meta.settings as { padTo?: number };
  if (meta.task.pooling === "last" && padTo > 0)
    losses.push({
      kind: "pooling",
      reason: `the run classifies at the last of ${padTo} rows, padding included; transformers at the last token of the text`,
    });
  return losses;
}

/** The adapter as the exported model computes it: classified at the last token, nothing padded. */
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

/** A loss in words. */
export function showLoss({ reason, effect }: Loss): string {
  return effect === undefined ? reason : `${reason}; ${effect}`;
}

/** How logits [messages, labels] of the same messages differ. */
export function describeChange(before: Float32Array, after: Float32Array, labels: number): string {
  const best = (logits: Float32Array, row: number) => {
    const some = logits.subarray(row * labels, (row + 1) * labels);
    return some.indexOf(Math.max(...some));
  };
  const rows = before.length / labels;
  const changed = Array.from({ length: rows }, (_, row) => row).filter((row) => best(before, row) !== best(after, row));
  const furthest = before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i]!)), 0);
  return `${changed.length} of ${rows} messages of the test set change their label, logits move by up to ${furthest.toPrecision(3)}`;
}

const README = "README.md";

/** What an export may have, of either form. */
const EXPORT_FILES = [
  README,
  "adapter_config.json",
  "adapter_model.safetensors",
  "config.json",
  "merges.txt",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
];

const MARK = "Trained with Lowrank on ";
const LISTED = "Written with this file: ";

/**
 * The files of the export in this directory: those that its README lists. Throws ConfigError where there is anything else, or
 * an export that is not to be replaced (`force`).
 */
export async function replaceableExport(directory: string, force: boolean): Promise<string[]> {
  if (!(await exists(directory))) return [];
  const entries = (await listDirectory(directory).catch(() => ["a file"])).filter((entry) => !entry.startsWith("."));
  if (entries.length === 0) return [];
  if (!force)
    throw new ConfigError("the output directory exists", {
      where: directory,
      expected: "a path where nothing is yet, or an empty directory",
      hint: "choose another --out, or give --force to replace an earlier export",
    });
  const path = joinPath(directory, README);
  const text = (await exists(path)) ? new TextDecoder().decode(await readBytes(path)) : "";
  // Replacing deletes files of these names: a base model that was named by mistake is not to be lost.
  if (!text.includes(MARK))
    throw new ConfigError("what is to be replaced is no export", {
      where: directory,
      expected: `a ${README} with "${MARK}..."`,
      hint: "choose another --out",
    });
  const [, listed] = text.split(LISTED);
  // Exports that list none have some of these.
  return listed === undefined
    ? EXPORT_FILES
    : EXPORT_FILES.filter((name) => name === README || listed.includes(`\`${name}\``));
}

/** Longest text in tokens: longer ones were cut in training. */
function longest({ settings, model }: AdapterMeta): number {
  const { padTo = 0, maxLength = model.n_positions } = settings as { padTo?: number; maxLength?: number };
  return Math.min(padTo || maxLength, model.n_positions);
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** The base model's config.json with what changes. */
async function mergedConfig({ meta, tensors }: Adapter, checkpoint: GPT2Checkpoint): Promise<string> {
  const base = (await readJson(joinPath(checkpoint.directory, "config.json"))) as Record<string, unknown>;
  const config: Record<string, unknown> = { ...base, model_type: "gpt2", torch_dtype: "float32" };
  delete config.dtype;
  if (meta.task.objective === "lm") {
    const untied = tensors.has("lora.head.A");
    return json({ ...config, architectures: ["GPT2LMHeadModel"], ...(untied ? { tie_word_embeddings: false } : {}) });
  }
  return json({
    ...config,
    architectures: ["GPT2ForSequenceClassification"],
    num_labels: meta.labels.length,
    id2label: Object.fromEntries(meta.labels.map((label, i) => [i, label])),
    label2id: Object.fromEntries(meta.labels.map((label, i) => [label, i])),
    // Only compared, never looked up: no text has this id, so the last token that is not padding is the text's last.
    pad_token_id: END_OF_TEXT_ID,
    problem_type: "single_label_classification",
  });
}

async function tokenizerFiles(meta: AdapterMeta, checkpoint: GPT2Checkpoint): Promise<Map<string, FileContent>> {
  const files = new Map<string, FileContent>();
  for (const name of ["vocab.json", "merges.txt", "tokenizer.json"]) {
    const path = joinPath(checkpoint.directory, name);
    if (await exists(path)) files.set(name, await readBytes(path));
  }
  const end = "<|endoftext|>";
  const config = {
    add_prefix_space: false,
    bos_token: end,
    eos_token: end,
    model_max_length: longest(meta),
    pad_token: end,
    // On the left, GPT-2 would give the text other positions than it was trained with.
    padding_side: "right",
    tokenizer_class: "GPT2Tokenizer",
    truncation_side: "right",
    unk_token: end,
  };
  return files.set("tokenizer_config.json", json(config));
}

function readme(kind: ExportKind, { meta }: Adapter, losses: Loss[], files: string[]): string {
  const classifies = meta.task.objective === "classification";
  const auto = classifies ? "AutoModelForSequenceClassification" : "AutoModelForCausalLM";
  const base = JSON.stringify(meta.base_model);
  const labels = Object.fromEntries(meta.labels.map((label, i) => [i, label]));
  const lines =
    kind === "merged"
      ? [
          `from transformers import AutoTokenizer, ${auto}`,
          `tokenizer = AutoTokenizer.from_pretrained("THIS DIRECTORY")`,
          `model = ${auto}.from_pretrained("THIS DIRECTORY")`,
        ]
      : [
          "import torch",
          "from peft import PeftModel",
          `from transformers import AutoTokenizer, ${auto}`,
          `tokenizer = AutoTokenizer.from_pretrained(${base}, pad_token="<|endoftext|>", padding_side="right")`,
          `base = ${auto}.from_pretrained(${base}, dtype=torch.float32${classifies ? `, num_labels=${meta.labels.length}, pad_token_id=${END_OF_TEXT_ID},` : ")"}`,
          ...(classifies ? [`    id2label=${JSON.stringify(labels)})`] : []),
          `model = PeftModel.from_pretrained(base, "THIS DIRECTORY")`,
        ];
  if (classifies)
    lines.push(
      `batch = tokenizer(["some text"], padding=True, truncation=True, max_length=${longest(meta)}, return_tensors="pt")`,
      "logits = model.eval()(**batch).logits",
    );
  const remarks = classifies
    ? [
        `transformers reads the logits at the last token that is not \`pad_token_id\`: ${END_OF_TEXT_ID}, <|endoftext|>, which no text`,
        "has. Pad on the right. Texts of any lengths may share a batch; an empty text is one <|endoftext|>.",
      ]
    : [];
  const differences = losses.map((loss) => `- ${showLoss(loss)}`);
  return [
    kind === "merged" ? "# A fine-tuned GPT-2" : "# A LoRA adapter for GPT-2",
    "",
    `${MARK}${meta.base_model}, mode ${meta.mode}.`,
    "",
    "```python",
    ...lines,
    "```",
    "",
    ...remarks,
    ...(differences.length > 0
      ? ["", "It differs from the run in what could not be expressed:", "", ...differences]
      : []),
    "",
    `${LISTED}${files.map((name) => `\`${name}\``).join(", ")}.`,
    "",
  ].join("\n");
}
