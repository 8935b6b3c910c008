/** The small files of a directory that a model in a GGUF file stands for, as transformers would have written them. */

import { openFile } from "#platform";
import { parseJson } from "../limits.ts";
import { fastTokenizer } from "../tokenizer/tokenizer-fast.ts";
import { listGgufTokens } from "../tokenizer/tokenizer-gguf.ts";
import { describeGguf } from "./gguf-model.ts";

type Described = Awaited<ReturnType<typeof describeGguf>>;

const MAKERS: Readonly<Record<string, (model: Described, where: string) => object | undefined | Promise<object>>> = {
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
  // What sentence-transformers has of a model: llama.cpp's keys say how its tokens make a vector, but no prefix.
  "modules.json": ({ metadata }) =>
    metadata.has(POOLING)
      ? ["Transformer", "Pooling"].map((type, idx) => {
          return { idx, path: idx === 0 ? "" : "1_Pooling", type: `sentence_transformers.models.${type}` };
        })
      : undefined,
  "1_Pooling/config.json": ({ json, metadata }) => {
    return {
      word_embedding_dimension: json.hidden_size,
      pooling_mode_mean_tokens: metadata.get(POOLING) === 1,
      pooling_mode_cls_token: metadata.get(POOLING) === 2,
    };
  },
  "config_sentence_transformers.json": ({ metadata }, where) => {
    const config = metadata.get("sentence_transformers.config");
    return typeof config === "string" ? (parseJson(new TextEncoder().encode(config), where) as object) : undefined;
  },
};
const POOLING = "bert.pooling_type";

/** The contents of those of these files that the model has. */
export async function makeGgufFiles(path: string, ...names: readonly string[]): Promise<Map<string, object>> {
  const makers = names.flatMap((name) => (MAKERS[name] ? [[name, MAKERS[name]] as const] : []));
  const made = new Map<string, object>();
  if (makers.length === 0) return made;
  const reader = await openFile(path);
  try {
    const described = await describeGguf(reader, path);
    for (const [name, make] of makers) {
      const content = await make(described, path);
      if (content) made.set(name, content);
    }
    return made;
  } finally {
    await reader.close();
  }
}
