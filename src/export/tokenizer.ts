/** The files of a model's tokenizer, as transformers reads them. */
import { packagePath } from "#platform";
import { type BaseModel, SHIPPED_MODELS } from "../io/hf.ts";
import { readModelFile, readModelJson } from "../io/model-file.ts";
import type { AdapterMeta } from "../io/peft.ts";
import { CHAT_TEMPLATE } from "../io/vocabulary.ts";
import type { FileContent } from "../platform/reader.ts";
import { longestText } from "./peft-code.ts";

/** A model's vocabulary files; of GPT-2's vocabulary, which a model may lack, those of the bundled base model. */
export async function vocabularyFiles({ directory, vocabulary, config }: BaseModel): Promise<Map<string, FileContent>> {
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

/** The model's tokenizer, padding with the token that ends a text. */
export async function tokenizerFiles(meta: AdapterMeta, checkpoint: BaseModel): Promise<Map<string, FileContent>> {
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
  return files.set(own, `${JSON.stringify(config, null, 2)}\n`);
}
