/** --to onnx: a model for ONNX Runtime, in the folder that transformers.js reads. */
import { architectureName } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { readsPairs } from "../core/pair.ts";
import { literal } from "../core/quote.ts";
import type { BaseModel } from "../io/hf.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import { headInFiles, ownTensors } from "../io/peft/merge.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { checkWidths } from "../model/trainable.ts";
import type { FileContent } from "../platform/reader.ts";
import { hasHead, readsTokens, TASKS } from "../tasks/index.ts";
import { textToTry } from "../tasks/text-to-try.ts";
import { usageOf } from "../tasks/words.ts";
import { type PlanForm, sized } from "./form.ts";
import { checkMergeable, refuseForOnnx } from "./mergeable.ts";
import { mergedConfig } from "./merged.ts";
import { addDecoder } from "./onnx/decoder.ts";
import { Graph } from "./onnx/graph.ts";
import { fastTokenizerFiles } from "./tokenizer.ts";

/** transformers.js's names of the types of weights, and of the models that have them. */
const TYPES = {
  f32: { dtype: "fp32", file: "model.onnx" },
  f16: { dtype: "fp16", file: "model_fp16.onnx" },
  q8: { dtype: "q8", file: "model_quantized.onnx" },
};
type OnnxDtype = keyof typeof TYPES;

export const plan: PlanForm = async ({ adapter, baseModel, finalNorm }, { dtype = "f32" }) => {
  const { meta } = adapter;
  refuseForOnnx(meta);
  checkMergeable(meta);
  const { config } = baseModel;
  if (dtype === "q8") checkWidths(config, dtype);
  const type = dtype as OnnxDtype;
  const { objective } = meta.task;
  const writes = !hasHead(meta.task);
  if (!writes && readsTokens(meta.task))
    throw new ConfigError("not-expressible-in-format", "this form has the outputs of whole texts alone", {
      found: TASKS[objective].title,
      hint: "use --to merged or --to peft",
    });
  const tensors = [...ownTensors(baseModel, adapter), ...headInFiles(adapter, finalNorm)];
  const graph = new Graph(new Map(tensors.map((tensor) => [tensor.name, tensor])), dtype);
  addDecoder(graph, config, meta.task);
  const { file } = TYPES[type];
  const data = `${file}_data`;
  const files = new Map<string, FileContent>([
    ["config.json", onnxConfig(await mergedConfig(adapter, baseModel), type, writes)],
  ]);
  if (writes) files.set("generation_config.json", generationConfig(baseModel));
  for (const [name, content] of await fastTokenizerFiles(meta, baseModel)) files.set(name, content);
  files.set(`onnx/${file}`, graph.encode(architectureName(config), data));
  const chunks = sized(graph.dataBytes, () => graph.data());
  files.set(`onnx/${data}`, chunks);
  return {
    files,
    notes: [],
    library: "transformers.js",
    title: `A fine-tuned ${architectureName(config)} in ONNX`,
    usages: [
      {
        title: "In JavaScript, with transformers.js",
        language: "js",
        text: `In this directory, after npm install @huggingface/transformers.${writes ? ` Prompt and answer have at most ${config.n_positions} tokens.` : ""}`,
        code: useCode(meta).join("\n"),
      },
    ],
  };
};

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/**
 * The merged model's config.json with what transformers.js needs. It chooses a class by `model_type`, and knows no
 * classifier of these architectures: those of all encoders run a session with `input_ids` and `attention_mask`, which
 * is right for this one. RoBERTa is one whose tokenizer is a byte-level BPE, too.
 */
function onnxConfig(merged: string, dtype: OnnxDtype, writes: boolean): string {
  return json({
    ...JSON.parse(merged),
    ...(writes ? {} : { model_type: "roberta" }),
    "transformers.js_config": { dtype: TYPES[dtype].dtype, use_external_data_format: true },
  });
}

function generationConfig({ vocabulary: { begin, end } }: BaseModel): string {
  const { id } = end;
  return json({ bos_token_id: begin?.id ?? id, eos_token_id: id, pad_token_id: id });
}

/** The lines that use it, in Node as in a page. */
function useCode(meta: AdapterMeta): string[] {
  const { javascript, hasPipeline } = usageOf(meta.task.objective, readsChats(meta));
  const pipeline = 'import { pipeline } from "@huggingface/transformers";';
  if (!hasHead(meta.task)) return [pipeline, ...javascript];
  const text = textToTry([], readsPairs(meta));
  if (hasPipeline && typeof text === "string")
    return [
      pipeline,
      'const classify = await pipeline("text-classification", "./");',
      `console.log(await classify(${literal(text)}, { top_k: null }));`,
    ];
  const [first, second] = [text].flat().map((one) => literal([one]));
  const options = `{ ${second ? `text_pair: ${second}, ` : ""}padding: true, truncation: true }`;
  return [
    'import { AutoModelForSequenceClassification, AutoTokenizer } from "@huggingface/transformers";',
    'const tokenizer = await AutoTokenizer.from_pretrained("./");',
    'const model = await AutoModelForSequenceClassification.from_pretrained("./");',
    `const { logits } = await model(tokenizer(${first}, ${options}));`,
    ...javascript,
  ];
}
