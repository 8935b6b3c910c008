/** Makes a tokenizer.json: of what is in it, tokenizer-json.ts reads the same. */
import { PRETOKENIZERS } from "./pretokenizers.ts";
import { listTokens, type TokenConfig } from "./tokenizer-files.ts";
import type { Listed } from "./tokenizer-json.ts";
import type { NamedToken } from "./vocabulary.ts";

/** The tokenizer.json of a directory that has a vocab.json and a merges.txt; undefined if it has none of these. */
export async function makeFastTokenizer(directory: string, config: TokenConfig): Promise<object | undefined> {
  const tokens = await listTokens(directory, config);
  return tokens ? fastTokenizer({ ...tokens.listed, added: tokens.added }) : undefined;
}

/** How special tokens are added: `begin` before every text, and `separator` between those of a pair. */
export function template(begin: NamedToken | null, separator?: NamedToken): object {
  const special = (token: NamedToken | null | undefined, type_id: number) =>
    token ? [{ SpecialToken: { id: token.text, type_id } }] : [];
  const single = [...special(begin, 0), { Sequence: { id: "A", type_id: 0 } }];
  // Without a separator each text of a pair has the beginning of one.
  const between = separator ? special(separator, 0) : special(begin, 1);
  const tokens = [begin, separator].flatMap((token) => (token ? [token] : []));
  return {
    type: "TemplateProcessing",
    single,
    pair: [...single, ...between, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: Object.fromEntries(tokens.map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }])),
  };
}

/** The form of the library `tokenizers`. */
export function fastTokenizer({ tokens, merges, added, pretokenizer, normalizes, ignoresMerges, begin }: Listed) {
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
    post_processor: begin && template(begin),
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
