/** How a token classifier reads texts. Few do: it is loaded on demand. */
import type { Tokenizer } from "../data/tokenizer.ts";
import { splitWords, WordEncoder } from "../data/words.ts";
import { ConfigError } from "../errors.ts";
import type { TextOrPair } from "../pair.ts";

/** Texts, with their words as far as they fit. Throws ConfigError for a pair of texts. */
export function encodeWords(tokenizer: Tokenizer, texts: readonly TextOrPair[], most: number) {
  const encoder = new WordEncoder(tokenizer);
  return texts.map((text, i) => {
    if (typeof text !== "string")
      throw new ConfigError("wrong-text-count", "the model reads single texts", {
        where: `texts[${i}]`,
        expected: "a string",
        found: JSON.stringify(text),
      });
    const words = splitWords(text);
    const encoded = encoder.encode(
      words.map((word) => word.text),
      most,
    );
    return { text, words: words.slice(0, encoded.firsts.length), ...encoded };
  });
}
