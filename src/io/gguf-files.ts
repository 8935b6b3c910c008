/** What a model in a GGUF file has of the small files of a directory, as transformers would have written them. */
import { openGguf } from "./gguf-model.ts";
import { PRETOKENIZERS } from "./pretokenizers.ts";
import { listGgufTokens } from "./tokenizer-gguf.ts";
import type { Listed } from "./tokenizer-json.ts";

type Opened = Awaited<ReturnType<typeof openGguf>>;

const MAKERS: Readonly<Record<string, (model: Opened) => object>> = {
  "config.json": ({ json }) => json,
  "tokenizer.json": ({ metadata, configPath: where }) => fastTokenizer(listGgufTokens(metadata, where).listed),
  "tokenizer_config.json": ({ metadata, configPath: where }) => {
    const template = metadata.get("tokenizer.chat_template");
    return {
      ...listGgufTokens(metadata, where).named,
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
  return make(model);
}

/** The form of the library `tokenizers`. */
function fastTokenizer({ tokens, merges, added, pretokenizer, normalizes, ignoresMerges, begin }: Listed) {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added.map((token) => ({ single_word: false, lstrip: false, rstrip: false, ...token })),
    normalizer: normalizes ? { type: "NFC" } : null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: PRETOKENIZERS[pretokenizer].map((step) =>
        step.type === "ByteLevel" ? { ...step, trim_offsets: true } : step,
      ),
    },
    post_processor: begin && {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: begin.text, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [
        { SpecialToken: { id: begin.text, type_id: 0 } },
        { Sequence: { id: "A", type_id: 0 } },
        { SpecialToken: { id: begin.text, type_id: 1 } },
        { Sequence: { id: "B", type_id: 1 } },
      ],
      special_tokens: { [begin.text]: { id: begin.text, ids: [begin.id], tokens: [begin.text] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoresMerges,
      vocab: tokens,
      merges,
    },
  };
}
