/** Vocabularies of the fixtures in test/golden/vocabulary, and tokenizers of them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import type { BaseModel } from "../../src/io/hf.ts";
import { readVocabulary } from "../../src/io/tokenizer/tokenizer-files.ts";
import type { Vocabulary } from "../../src/io/tokenizer/vocabulary.ts";
import { temporaryFolder } from "./border.ts";

export const goldenVocabulary = (file: string) => readFileSync(packagePath(`test/golden/vocabulary/${file}`), "utf8");

export const goldenPieces = (file: string) => readFileSync(packagePath(`test/golden/pieces/${file}`), "utf8");

const folder = temporaryFolder();
let made = 0;

/** A directory with these files; objects are written as JSON. */
export function writeVocabulary(files: Record<string, unknown>): string {
  const path = join(folder, `files-${made++}`);
  mkdirSync(path);
  for (const [file, content] of Object.entries(files))
    writeFileSync(join(path, file), typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** The vocabulary of these files. */
export const readFiles = (files: Record<string, unknown>, config: object | null = null) =>
  readVocabulary(writeVocabulary(files), config as { vocab_size: number } | null);

/** A model that has nothing but a vocabulary. */
export function vocabularyModel(vocabulary: Vocabulary): BaseModel {
  return {
    vocabulary,
    config: { vocab_size: 1e6 },
    read: async () => {},
    close: async () => {},
  } as unknown as BaseModel;
}

export const loadTokenizer = (vocabulary: Vocabulary) => Tokenizer.load({ model: vocabularyModel(vocabulary) });

export function assertIds(actual: ArrayLike<number>, expected: ArrayLike<number>, text: string): void {
  const same = actual.length === expected.length && Array.prototype.every.call(actual, (id, i) => id === expected[i]);
  if (!same) assert.equal(Array.from(actual), Array.from(expected), JSON.stringify(text.slice(0, 200)));
}
