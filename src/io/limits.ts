/** Limits of untrusted input. Readers check them before they parse anything. */
import { FormatError } from "../core/errors.ts";

export const LIMITS = {
  /** Bytes of a JSON file. The largest in use, a tokenizer.json with 250,000 tokens, has some 20 MB. */
  json: 32 << 20,
  /** Bytes of a tokenizer's file; ids of a vocabulary (data.wasm has 20 bits); its added tokens; bytes of a token. */
  tokenizer: 128 << 20,
  vocabulary: 1_000_000,
  addedTokens: 4096,
  /**
   * A chat template: its characters (those in use have up to some 17,000), white space in a row, for which the parser's
   * time is quadratic; for one chat the numbers of a range, the values and characters evaluated, those in one value and
   * those that a filter may add to one, and milliseconds.
   */
  chatTemplate: 64 << 10,
  chatSpaces: 1000,
  chatRange: 10_000,
  chatWork: 20_000_000,
  chatValue: 2_000_000,
  chatSpread: 100_000_000,
  chatTime: 3000,
  token: 1 << 16,
  /** Bytes of a JSON file that Lowrank wrote: a run's record has the losses of every test text. */
  ownJson: 512 << 20,
  /** Bytes of a classic model: two million weights have some 60 MB. */
  classic: 96 << 20,
  /** Bytes of a model's weights. GPT-2 XL has 6.4 GB. */
  weights: 64 * 2 ** 30,
  /** Bytes of a zip file, and of all files in it, which may be in memory. It has at most 65,535. */
  archive: 2 * 2 ** 30,
  /** Bytes of a text file. It is read whole; JSON lines become one string, and engines limit strings to 512 MB. */
  text: 480 << 20,
  /** Rows of a table that get another order, and their bytes: they are in memory. */
  orderedRows: 1_000_000,
  orderedBytes: 256 << 20,
  /** Bytes of a server's response that is not a file. */
  answer: 4 << 20,
  /** Bytes of the files of a data set from the hub. */
  dataset: 2 * 2 ** 30,
  /** Parquet: rows of a row group, and bytes of the text and label columns of a file. */
  groupRows: 4 << 20,
  columns: 640 << 20,
  /** Bytes of an Excel file, and of those in it that are read, unpacked: a sheet is one string. */
  workbook: 256 << 20,
  /** Bytes of a line of standard input: the same as for a row of a file. */
  line: 16 << 20,
  /** Bytes of a sweep's file. */
  sweep: 64 << 10,
  /** Trials of a sweep. */
  trials: 100_000,
  jsonDepth: 64,
  /** Safetensors files: bytes of the header, tensors, characters of a name, dimensions. GPT-2 XL has 580 tensors. */
  safetensorsHeader: 16 << 20,
  tensors: 1 << 16,
  tensorName: 1024,
  dimensions: 8,
  /**
   * GGUF files: bytes before the data, keys, elements of all lists, alignment of the data. Llama 3's vocabulary takes
   * 8 MB, in lists of 128,000 tokens, as many types and 280,000 merges.
   */
  ggufHeader: 64 << 20,
  ggufKeys: 4096,
  ggufLists: 4_000_000,
  ggufAlignment: 1 << 16,
} as const;

/**
 * Parses JSON in UTF-8. Throws FormatError: with `summary` if it is not JSON, and if it is nested deeper than
 * `LIMITS.jsonDepth` or has more commas than `commas`.
 */
export function parseJson(bytes: Uint8Array, where: string, summary = "not a JSON file", commas?: number): unknown {
  countKeys(bytes, where, commas);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FormatError("invalid-json", summary, { where, found: (cause as Error).message, cause });
  }
}

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT, COLON, COMMA] = [
  0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d, 0x3a, 0x2c,
];

/**
 * The number of keys in all objects; duplicates count twice. Throws FormatError for JSON that is nested too deeply:
 * code that recurses over such a value (JSON.stringify does) overflows the stack. The same for more than `most` commas:
 * values take more memory than their text.
 */
export function countKeys(bytes: Uint8Array, where: string, most = Number.POSITIVE_INFINITY): number {
  let keys = 0;
  let commas = 0;
  let [depth, deepest] = [0, 0];
  let inText = false;
  for (let at = 0; at < bytes.length; at++) {
    const sign = bytes[at];
    if (inText) {
      if (sign === BACKSLASH) at++;
      else if (sign === QUOTE) inText = false;
    } else if (sign === QUOTE) inText = true;
    else if (sign === COLON) keys++;
    else if (sign === COMMA) commas++;
    else if (sign === CLOSE_LIST || sign === CLOSE_OBJECT) depth--;
    else if (sign === OPEN_LIST || sign === OPEN_OBJECT) deepest = Math.max(deepest, ++depth);
  }
  checkCount(deepest, LIMITS.jsonDepth, "levels of lists and objects", where);
  checkCount(commas, most, "values", where);
  return keys;
}

/** Throws FormatError for more of what a file has than `most`. */
export function checkCount(count: number, most: number, what: string, where: string): void {
  const details = { where, expected: `at most ${most}`, found: String(count) };
  if (count > most) throw new FormatError("exceeds-limit", `the file has too many ${what}`, details);
}
