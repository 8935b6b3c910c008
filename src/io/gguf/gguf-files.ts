/** What a model in a GGUF file has of the small files of a directory, as transformers would have written them. */

import { fastTokenizer } from "../tokenizer/tokenizer-fast.ts";
import { listGgufTokens } from "../tokenizer/tokenizer-gguf.ts";
import { openGguf } from "./gguf-model.ts";

type Opened = Awaited<ReturnType<typeof openGguf>>;

const MAKERS: Readonly<Record<string, (model: Opened, where: string) => object | Promise<object>>> = {
  "config.json": ({ json }) => json,
  "tokenizer.json": async ({ metadata }, where) => {
    const { listed, json } = await listGgufTokens(metadata, where);
    return json ?? fastTokenizer(listed);
  },
  "tokenizer_config.json": async ({ metadata }, where) => {
    const template = metadata.get("tokenizer.chat_template");
    return {
      ...(await listGgufTokens(metadata, where)).named,
      ...(typeof template === "string" ? { chat_template: template } : {}),
      clean_up_tokenization_spaces: false,
      tokenizer_class: "PreTrainedTokenizerFast",
    };
  },
};

/** The contents of one of these files; undefined for any other name. */
export async function makeGgufFile(path: string, name: string): Promise<object | undefined> {
  const make = MAKERS[name];
  if (!make) return undefined;
  const model = await openGguf(path);
  await model.tensors.close();
  return make(model, path);
}
