/** Whole runs in a moment: a narrow GPT-2 on the disk, and messages that it can learn to tell apart. */

import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packagePath } from "#platform";
import type { ModelConfig } from "../../src/core/config.ts";
import { baseShapes, lmHeadShapes } from "../../src/core/names.ts";
import { joinPair } from "../../src/core/pair.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import type { DatasetOptions } from "../../src/data/dataset-options.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { type EncodableTensor, encodeSafetensors } from "../../src/io/safetensors/safetensors-write.ts";
import { numbers } from "./border.ts";
import { SMALL } from "./models.ts";

/** The tokenizer's vocabulary, and everything else small. */
export const TINY: ModelConfig = {
  vocab_size: 50257,
  n_positions: 64,
  n_layer: 2,
  n_head: 2,
  n_embd: 16,
  layer_norm_epsilon: 1e-5,
};

export type StoredTensors = Map<string, EncodableTensor>;

/** Writes a checkpoint of random values, as `change` leaves them, and returns its directory. */
export function tinyModel(
  directory: string,
  change: (tensors: StoredTensors) => void = () => {},
  config: ModelConfig = TINY,
): string {
  const random = numbers(7);
  const tensors: StoredTensors = new Map();
  for (const [name, shape] of baseShapes(config)) {
    const offset = /(^|\.)ln_\w+\.weight$/.test(name) ? 1 : 0;
    const data = random(shape);
    for (let i = 0; i < data.length; i++) data[i] = 0.2 * data[i]! + offset;
    tensors.set(name, { name, shape, dtype: "F32", data });
  }
  change(tensors);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "config.json"), JSON.stringify({ model_type: "gpt2", ...config }));
  writeFileSync(join(directory, "model.safetensors"), encodeSafetensors([...tensors.values()], { format: "pt" }));
  return directory;
}

/** Writes a GPT-2 with a vocabulary of four tokens, smaller than its token table, and returns its directory. */
export function smallModel(directory: string, config: ModelConfig = SMALL): string {
  const random = numbers(3);
  const tensors = [...baseShapes(config), ...lmHeadShapes(config)].map(([name, shape]) => ({
    ...{ name, shape, dtype: "F32" as const },
    data: random(shape).map((x) => x * 0.3 + (/ln_\w+\.weight$/.test(name) ? 1 : 0)),
  }));
  const settings = { ...config, model_type: "gpt2", resid_pdrop: 0.1, bos_token_id: 4 };
  mkdirSync(directory);
  writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors));
  writeFileSync(join(directory, "config.json"), JSON.stringify(settings));
  writeFileSync(join(directory, "vocab.json"), JSON.stringify({ Ġ: 0, a: 1, Ġa: 2, "<|endoftext|>": 4 }));
  writeFileSync(join(directory, "merges.txt"), "#version: 0.2\nĠ a\n");
  return directory;
}

const PHRASES: Record<string, string> = {
  ham: "see you at lunch, friend, table",
  spam: "you have won a prize, call now, code",
  news: "minister opens the new bridge over river",
};

/** A number as a word of its own: texts that differ only in numbers are near-duplicates. */
export const spelled = (i: number) => String(i).replaceAll(/\d/g, (digit) => "abcdefghij"[Number(digit)]!);

/** A CSV file with `count` messages of each class, in turns; their lengths differ. */
export function messages(count: number, labels: readonly string[] = ["ham", "spam"]): string {
  const rows = Array.from({ length: count }, (_, i) =>
    labels.map((label) => `${label},"${PHRASES[label]} ${spelled(i)}${" please".repeat(i % 4)}"`),
  );
  return `label,text\n${rows.flat().join("\n")}\n`;
}

/** A fixture of test/golden/encoders in `directory`, with a tokenizer whose words are w0 to w95, by their ids. */
export function encoderModel(directory: string, name: string): string {
  if (existsSync(directory)) return directory;
  cpSync(packagePath(`test/golden/encoders/${name}/base`), directory, { recursive: true });
  const vocab = Object.fromEntries(Array.from({ length: 96 }, (_, id) => [`w${id}`, id]));
  const pieces = { continuing_subword_prefix: "##", max_input_chars_per_word: 100 };
  const model = { type: "WordPiece", unk_token: "w0", ...pieces, vocab };
  const json = { added_tokens: [], normalizer: null, pre_tokenizer: { type: "BertPreTokenizer" }, model };
  writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(json));
  const settings = { tokenizer_class: "PreTrainedTokenizerFast", eos_token: "w1", pad_token: "w1" };
  writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify(settings));
  return directory;
}

/** A file in memory. */
export const fileOf = (name: string, content: string | Uint8Array) =>
  bytesReader(name, typeof content === "string" ? new TextEncoder().encode(content) : content);

/** Rows as JSON lines. */
export const jsonLines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");

/** The rows of `content` as a data set. */
export function tinyData(content: string | Uint8Array, options: DatasetOptions = {}): Promise<LoadedDataset> {
  return loadDataset({ file: fileOf("messages.csv", content) }, { maxLength: TINY.n_positions, ...options });
}

/** The training, the validation and the test set. */
export const setsOf = <T>({ train, val, test }: Record<"train" | "val" | "test", T>): [T, T, T] => [train, val, test];

/** How many rows each of them has. */
export const sizesOf = (data: Record<"train" | "val" | "test", { size: number }>) =>
  setsOf(data).map(({ size }) => size);

/** The texts of a data set's rows. */
export function allTexts(dataset: Dataset): string[] {
  return Array.from({ length: dataset.size }, (_, row) => joinPair(dataset.text(row)));
}
