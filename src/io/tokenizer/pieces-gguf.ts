/**
 * Makes the tokenizer.json of a model whose tokens are pieces of words, from the metadata of a GGUF file: "bert" is
 * WordPiece, "t5" Unigram. Loaded for such a model.
 */
import { checkKinds } from "../../core/checks.ts";
import { FormatError } from "../../core/errors.ts";
import { BYTE, CONTROL, type Json, refuse } from "./steps.ts";
import type { Content } from "./tokenizer-json.ts";
import type { NamedToken } from "./vocabulary.ts";

/** The mark at the beginning of a word. */
const SPACE = "▁";

interface Pieces {
  texts: readonly string[];
  types: readonly number[];
  added: readonly Content[];
  unknown: NamedToken | null;
  begin: NamedToken | null;
  close: NamedToken | null;
}

const FIELDS = {
  "tokenizer.ggml.add_space_prefix": "boolean?",
  "tokenizer.ggml.remove_extra_whitespaces": "boolean?",
} as const;

/** The tokenizer.json. Throws as `readGgufVocabulary`. */
export function makePieces(
  kind: "bert" | "t5",
  metadata: ReadonlyMap<string, unknown>,
  pieces: Pieces,
  where: string,
): Json {
  const { added, begin, close } = pieces;
  if (begin === null || close === null)
    return refuse(where, "tokenizer.ggml.cls_token_id and seperator_token_id, or bos and eos", "no such tokens");
  checkKinds(Object.fromEntries(metadata), FIELDS, where);
  const frame = { sep: [close.text, close.id], cls: [begin.text, begin.id] };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    // As in BERT and XLM-R, the mask stands in place of the white space before it.
    added_tokens: added.map((token) => ({ single_word: false, lstrip: isMask(token), rstrip: false, ...token })),
    ...(kind === "bert" ? wordPiece(pieces) : unigram(metadata, pieces, where)),
    post_processor:
      kind === "bert"
        ? { type: "BertProcessing", ...frame }
        : { type: "RobertaProcessing", ...frame, trim_offsets: true, add_prefix_space: true },
  };
}

const isMask = ({ content }: Content) => content === "<mask>";

function wordPiece({ texts, types, unknown }: Pieces): Json {
  // llama.cpp marks the pieces that begin words; earlier versions of it leave those in brackets as they are.
  const piece = (text: string, id: number) =>
    types[id] === CONTROL || /^\[.+\]$/.test(text)
      ? text
      : text.startsWith(SPACE)
        ? text.slice(SPACE.length)
        : `##${text}`;
  const vocab = texts.map(piece);
  // A file does not say whether texts are in lower case.
  const lowercase = !vocab.some((text, id) => types[id] !== CONTROL && /^[^[]*[A-Z]/.test(text));
  return {
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: unknown?.text,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab.map((text, id) => [text, id])),
    },
  };
}

function unigram(metadata: ReadonlyMap<string, unknown>, { texts, types, unknown }: Pieces, where: string): Json {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const scores = Array.from((get("scores") ?? []) as ArrayLike<number>);
  if (scores.length !== texts.length || !scores.every(Number.isFinite))
    throw new FormatError("invalid-field", "tokenizer.ggml.scores is invalid", {
      where,
      expected: `a list of ${texts.length} numbers`,
    });
  const map = Array.from((get("precompiled_charsmap") ?? []) as ArrayLike<number>, (byte) => String.fromCharCode(byte));
  const prepend_scheme = get("add_space_prefix") === false ? "never" : "always";
  const metaspace = { type: "Metaspace", replacement: SPACE, prepend_scheme, split: true };
  const words = get("remove_extra_whitespaces") === true ? [{ type: "WhitespaceSplit" }] : [];
  return {
    normalizer: map.length > 0 ? { type: "Precompiled", precompiled_charsmap: btoa(map.join("")) } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...words, metaspace] },
    decoder: metaspace,
    model: {
      type: "Unigram",
      unk_id: unknown?.id ?? null,
      vocab: texts.map((text, id) => [text, scores[id]]),
      byte_fallback: types.includes(BYTE),
    },
  };
}
