/**
 * lowrank/data: data sets as training reads them, and the tokenizer. It changes more often than the root: see README.
 */

import type { DatasetOptions, DatasetSpec } from "../data/dataset-options.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { LoadedTagged, TaggedOptions, TaggedSpec } from "../data/text/tagged.ts";
import type { LoadedTexts, TextsOptions, TextsSpec } from "../data/text/texts.ts";

export type { LeftOut } from "../core/places.ts";
export type { Dataset, DatasetBatch, DatasetStats, Padding } from "../data/dataset.ts";
export type { DatasetOptions, DatasetSpec, GivenFiles, Origin, ReadingOptions } from "../data/dataset-options.ts";
export type { LoadedDataset, LoadedSets } from "../data/datasets.ts";
export type { CopyStats } from "../data/duplicates.ts";
export type { Corrected, DataSource, Loaded } from "../data/sets/source.ts";
export type { Split } from "../data/sets/split.ts";
export type { DataSettings, Files } from "../data/settings.ts";
export type { ColumnChoice } from "../data/table/columns.ts";
export type { Beginning, BlockOptions, BlockStats, Blocks, Completion as AnswerBlock } from "../data/text/blocks.ts";
export type { Message } from "../data/text/chat.ts";
export type { LoadedTagged, Sentence, Tagged, TaggedOptions, TaggedSpec, TaggedStats } from "../data/text/tagged.ts";
export type { LoadedTexts, TextsOptions, TextsSpec } from "../data/text/texts.ts";
export type { TokenBatch, TokenSet } from "../data/text/token-set.ts";
export type { EncodedWords } from "../data/text/words.ts";
export { type DecodeStream, type EncodeOptions, Tokenizer } from "../data/tokenizer.ts";
export type { TrainingData } from "../data/training-data.ts";

/**
 * Loads a data set. Throws DataError, FormatError or ConfigError if the data, a file or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadDataset } from "lowrank/data";
 *
 * const data = await loadDataset({ file: "messages.csv" });
 * console.log(data.labels, data.train.size, data.stats.nearDuplicates); // each is in one set with its copies
 *
 * const reviews = await loadDataset({ name: "stanfordnlp/imdb" }); // of the Hugging Face hub, downloaded once
 *
 * const rows = [{ text: "see you at noon", label: "ham" }, { text: "you have won", label: "spam" }]; // and many more
 * const mine = await loadDataset({ rows });
 * ```
 */
export async function loadDataset(spec: DatasetSpec, options?: DatasetOptions): Promise<LoadedDataset> {
  return (await import("../data/datasets.ts")).loadDataset(spec, options);
}

/**
 * Loads texts for a language model. A plain text file is one document; with `file`, each is split at line ends into
 * train, val and test parts, in this order. JSON lines (.jsonl, .ndjson) have one document per line (.json also in an
 * array), with the key `text`, or with `prompt` and `completion`, or with `messages`, a chat, of which the answers are
 * learned; so are those of Alpaca (`instruction`, `input`, `output`) and ShareGPT (`conversations`). An instruction is
 * a question of a chat if the model has a chat template, else a prompt that ends with an empty line. They are shuffled
 * by the seed and then split. Throws DataError, FormatError or ConfigError if the texts, a file or an option are
 * invalid.
 *
 * @example
 * ```ts
 * import { loadTexts } from "lowrank/data";
 *
 * const data = await loadTexts({ file: "book.txt" }, { maxLength: 256 });
 * console.log(data.stats.train.tokens);
 * ```
 */
export async function loadTexts(spec: TextsSpec, options?: TextsOptions): Promise<LoadedTexts> {
  return (await import("../data/text/texts.ts")).loadTexts(spec, options);
}

/**
 * Loads sentences with a tag for each word, of entities (B-PER, I-PER, O) or parts of speech. A CoNLL file has a word a
 * line, its tag last, white space between columns and an empty line behind each sentence; JSON lines (.jsonl, .ndjson,
 * or .json with an array) have two lists, `tokens` and `tags`, or a `text` and its `entities` with start, end and
 * label. A single file is shuffled by the seed and split 70/10/20, near-duplicates into one set. Throws DataError,
 * FormatError or ConfigError if a file or an option is invalid.
 *
 * @example
 * ```ts
 * import { loadTagged } from "lowrank/data";
 *
 * const data = await loadTagged({ file: "entities.conll" });
 * console.log(data.labels, data.stats.train.words);
 * ```
 */
export async function loadTagged(spec: TaggedSpec, options?: TaggedOptions): Promise<LoadedTagged> {
  return (await import("../data/text/tagged.ts")).loadTagged(spec, options);
}
