/** How a classifier reads pairs of texts. Few do: it is loaded on demand. */
import type { Tokenizer } from "../data/tokenizer.ts";
import { ConfigError } from "../errors.ts";
import type { AdapterMeta } from "../io/peft/adapter-meta.ts";
import { readsPairs, type TextOrPair } from "../pair.ts";

type Pair = [Uint32Array, Uint32Array];

/** The tokens of each pair. Texts of an adapter that PEFT wrote may be single ones, too. Throws ConfigError. */
export function encodePairs(
  tokenizer: Tokenizer,
  texts: readonly TextOrPair[],
  longest: number,
  meta: Pick<AdapterMeta, "settings" | "base_fingerprint">,
): Uint32Array[] {
  const trained = readsPairs(meta);
  return texts.map((text, i) => {
    const isPair = typeof text !== "string";
    if (trained !== undefined && trained !== isPair)
      throw new ConfigError("wrong-text-count", `the model reads ${trained ? "pairs of texts" : "single texts"}`, {
        where: `texts[${i}]`,
        expected: trained ? "[first, second]" : "a string",
        found: JSON.stringify(text),
      });
    if (!isPair) return tokenizer.encode(text).subarray(0, longest);
    const [first, second] = text.map((one) => tokenizer.encode(one, { addSpecialTokens: false })) as Pair;
    const begin = tokenizer.beginOfText === null ? [] : [tokenizer.beginOfText];
    const joined = joinPair(first, second, tokenizer.endOfText, longest - begin.length);
    return Uint32Array.of(...begin, ...joined).subarray(0, longest);
  });
}

/**
 * The tokens of a pair: those of the first text, `separator`, and those of the second, at most `longest` in all. The
 * longer text is cut first, as in data.wasm (`copy_row`) and as `longest_first` of the library tokenizers does it.
 */
export function joinPair(first: Uint32Array, second: Uint32Array, separator: number, longest: number): Uint32Array {
  const most = longest - 1;
  const half = most >> 1;
  let kept = first.length;
  if (kept + second.length > most)
    kept = kept <= second.length ? Math.min(kept, half) : most - Math.min(second.length, half);
  return Uint32Array.of(...first.subarray(0, kept), separator, ...second.subarray(0, most - kept));
}
