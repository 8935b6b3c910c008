/** --to merged: a model for transformers, with what was trained merged in. */
import { architectureName, isEncoder, type ModelConfig } from "../core/config.ts";
import type { CommonDtype } from "../core/tensor.ts";
import type { BaseModel } from "../io/hf.ts";
import { readModelJson } from "../io/model-file.ts";
import { mergedTensors, wholeTensor } from "../io/peft/merge.ts";
import type { Adapter } from "../io/peft/peft.ts";
import { hasOwnPooling } from "../io/peft/peft-form.ts";
import { type ComputedTensor, halved, streamedBytes, streamSafetensors } from "../io/safetensors/safetensors-write.ts";
import type { FileContent } from "../platform/reader.ts";
import { hasHead, TASKS } from "../tasks/index.ts";
import { USAGES } from "../tasks/words.ts";
import { type PlanForm, sized } from "./form.ts";
import { divideHead } from "./losses.ts";
import { checkMergeable } from "./mergeable.ts";
import { atPooling, remarks, useCode } from "./peft-code.ts";
import { tokenizerFiles } from "./tokenizer.ts";

export const plan: PlanForm = async ({ adapter, baseModel, finalNorm }, { dtype }) => {
  const { meta } = adapter;
  checkMergeable(meta);
  const files = new Map<string, FileContent>([["config.json", await mergedConfig(adapter, baseModel, dtype)]]);
  for (const [name, content] of await tokenizerFiles(meta, baseModel)) files.set(name, content);
  // That layer sees the first token alone.
  const isPassed = isEncoder(meta.model) && meta.task.pooling === "cls";
  const part = dtype === "f16" ? 2 ** -10 : 2 ** -14;
  const scaled = isPassed ? divideHead(adapter, part, ["head.weight", "lora.head.B"]) : adapter;
  const merged = await mergedTensors(baseModel, scaled, finalNorm);
  if (isPassed) merged.push(...passingLayer(meta.model, part));
  const tensors = dtype === "f16" ? merged.map(halved) : merged;
  const metadata = { format: "pt" };
  const chunks = () => streamSafetensors(tensors, metadata);
  files.set("model.safetensors", sized(streamedBytes(tensors, metadata), chunks));
  const { transformers: auto } = USAGES[meta.task.objective];
  const { vocabulary } = baseModel;
  const isOwn = hasOwnPooling(meta) && !isPassed;
  return {
    files,
    notes: [],
    ...(isOwn && { warning: atPooling(meta) }),
    library: "transformers",
    title: `A fine-tuned ${architectureName(meta.model)}`,
    usages: [
      {
        title: "In Python, with transformers",
        language: "python",
        text: `In this directory, after pip install transformers torch. ${remarks(meta, vocabulary, isOwn)}`.trim(),
        code: [
          `from transformers import AutoTokenizer, ${auto}`,
          'tokenizer = AutoTokenizer.from_pretrained(".")',
          `model = ${auto}.from_pretrained(".")`,
          ...useCode(meta, vocabulary, undefined, isOwn),
        ].join("\n"),
      },
    ],
  };
};

/**
 * The layer that transformers has before an encoder's head, tanh(W x + b), as one that passes x on: W is the identity
 * times a power of two, so small that tanh(x) is x, by which the head is divided. In f32 an x of 30 changes by 1e-6 of
 * it, and the part is f16's smallest normal number, for those who halve it. In f16 smaller parts would cost digits.
 */
function passingLayer({ model_type, n_embd: C }: ModelConfig, part: number): ComputedTensor[] {
  const name = model_type === "bert" ? "bert.pooler.dense" : "classifier.dense";
  const identity = Float32Array.from({ length: C * C }, (_, i) => (i % (C + 1) === 0 ? part : 0));
  return [
    wholeTensor(`${name}.weight`, { shape: [C, C], data: identity }),
    wholeTensor(`${name}.bias`, { shape: [C], data: new Float32Array(C) }),
  ];
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** The base model's config.json with the changes of the merged model. */
export async function mergedConfig(
  { meta, tensors }: Adapter,
  baseModel: BaseModel,
  dtype: CommonDtype = "f32",
): Promise<string> {
  const base = await readModelJson(baseModel.directory, "config.json");
  const { model_type = "gpt2" } = baseModel.config;
  // The beginning of the names of transformers' classes.
  const spelled = architectureName(baseModel.config).replace("-", "");
  const name = spelled.replace("RoBERTa", "Roberta").replace("BERT", "Bert");
  const config: Record<string, unknown> = { ...base, model_type, torch_dtype: dtype === "f16" ? "float16" : "float32" };
  delete config.dtype;
  // A folder of whoever saved the base model.
  delete config._name_or_path;
  const { objective } = meta.task;
  const architecture = USAGES[objective].transformers.replace("AutoModel", name);
  if (!hasHead(meta.task)) {
    const untied = tensors.has("lora.head.A") || baseModel.config.tie_word_embeddings === false;
    return json({
      ...config,
      architectures: [model_type === "gpt2" ? "GPT2LMHeadModel" : architecture],
      ...(untied ? { tie_word_embeddings: false } : {}),
    });
  }
  return json({
    ...config,
    architectures: [architecture],
    num_labels: meta.labels.length,
    id2label: Object.fromEntries(meta.labels.map((label, i) => [i, label])),
    label2id: Object.fromEntries(meta.labels.map((label, i) => [label, i])),
    // transformers only compares ids with it. No text contains it, so the last non-padding token is the text's last
    // token. An encoder has its own, from which RoBERTa counts positions.
    ...(isEncoder(meta.model) ? {} : { pad_token_id: baseModel.vocabulary.end.id }),
    problem_type: TASKS[objective].problemType,
  });
}
