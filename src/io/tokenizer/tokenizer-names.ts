/** The files of tokenizers. A page with the built-in one does not load it. */
export const CHAT_TEMPLATE = "chat_template.jinja";

/** Files of a byte-level BPE tokenizer, all optional. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  CHAT_TEMPLATE,
] as const;

/** The default prompt of a folder of sentence-transformers, and what else it has beside an encoder. */
export const PROMPTS = "config_sentence_transformers.json";
export const SENTENCE_FILES = ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json", PROMPTS] as const;

/** Files of tokenizers of other kinds. */
export const OTHER_TOKENIZERS = {
  "tokenizer.model": "SentencePiece",
  "spiece.model": "SentencePiece",
  "sentencepiece.bpe.model": "SentencePiece",
  "vocab.txt": "WordPiece",
} as const;
