/** The files of a model's tokenizer, as transformers reads them. */
import { packagePath } from "#platform";
import { isEncoder } from "../core/config.ts";
import { readsPairs } from "../core/pair.ts";
import { type BaseModel, GPT2_FILES } from "../io/hf.ts";
import { readModelFile, readModelJson } from "../io/model-file.ts";
import type { AdapterMeta } from "../io/peft/peft.ts";
import { makeFastTokenizer, template } from "../io/tokenizer/tokenizer-fast.ts";
import { CHAT_TEMPLATE, PROMPTS } from "../io/tokenizer/tokenizer-names.ts";
import type { FileContent } from "../platform/reader.ts";
import { longestText } from "./peft-code.ts";

/** Where a model's vocabulary is: GPT-2's, which a model may lack, is in the bundled base model. */
function vocabularyPlaces({ directory, vocabulary, config }: BaseModel): string[] {
  const isGpt2 = vocabulary.tables === null && config.vocab_size > vocabulary.end.id;
  return [directory, ...(isGpt2 ? [packagePath(GPT2_FILES)] : [])];
}

export async function vocabularyFiles(baseModel: BaseModel): Promise<Map<string, FileContent>> {
  const files = new Map<string, FileContent>();
  for (const place of vocabularyPlaces(baseModel)) {
    for (const name of ["vocab.json", "merges.txt", "tokenizer.json", "added_tokens.json", CHAT_TEMPLATE]) {
      const content = await readModelFile(place, name);
      if (content !== undefined) files.set(name, content);
    }
    if (files.has("vocab.json") || files.has("tokenizer.json")) break;
  }
  const { prompt } = baseModel.vocabulary;
  const named = { prompts: { default: prompt }, default_prompt_name: "default" };
  return prompt === "" ? files : files.set(PROMPTS, JSON.stringify(named, null, 2));
}

/** The model's tokenizer, padding with the token that ends a text. */
export async function tokenizerFiles(meta: AdapterMeta, baseModel: BaseModel): Promise<Map<string, FileContent>> {
  const files = await vocabularyFiles(baseModel);
  const configFile = "tokenizer_config.json";
  // transformers reads older files' special_tokens_map.json after the settings: it becomes part of them.
  const base: Record<string, unknown> = {};
  for (const name of ["special_tokens_map.json", configFile])
    Object.assign(base, await readModelJson(baseModel.directory, name));
  const end = baseModel.vocabulary.end.text;
  const isOther = baseModel.vocabulary.pretokenizer !== "gpt-2";
  const config = {
    add_prefix_space: false,
    bos_token: end,
    eos_token: end,
    tokenizer_class: isEncoder(meta.model) && files.has(FAST) ? "PreTrainedTokenizerFast" : "GPT2Tokenizer",
    unk_token: end,
    ...base,
    // transformers 5 splits texts of its GPT2Tokenizer by GPT-2's pattern, whatever tokenizer.json has (SmolLM2's).
    ...(isOther && files.has("tokenizer.json") ? { tokenizer_class: "PreTrainedTokenizerFast" } : {}),
    model_max_length: longestText(meta),
    pad_token: (isEncoder(meta.model) && base.pad_token) || end,
    // Padding on the left would shift the position embeddings.
    padding_side: "right",
    truncation_side: "right",
  };
  return files.set(configFile, `${JSON.stringify(config, null, 2)}\n`);
}

const FAST = "tokenizer.json";

/**
 * The same for programs that read the form of the library `tokenizers` alone. The texts of a pair have between them
 * what they had in training.
 */
export async function fastTokenizerFiles(meta: AdapterMeta, baseModel: BaseModel): Promise<Map<string, FileContent>> {
  const { directory, vocabulary, config } = baseModel;
  let json: object | undefined;
  if (await readModelFile(directory, FAST)) json = await readModelJson(directory, FAST);
  for (const place of vocabularyPlaces(baseModel)) json ??= await makeFastTokenizer(place, config);
  if (json && readsPairs(meta)) json = { ...json, post_processor: template(vocabulary.begin, vocabulary.end) };
  const files = await tokenizerFiles(meta, baseModel);
  for (const name of ["vocab.json", "merges.txt", "added_tokens.json"]) files.delete(name);
  // A model without a vocabulary has none here, either.
  return json ? files.set(FAST, JSON.stringify(json)) : files;
}
