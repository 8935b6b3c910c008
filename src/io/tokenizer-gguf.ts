/** Reads the vocabulary of a model from the metadata of a GGUF file. */
import { FormatError } from "../errors.ts";
import type { Vocabulary } from "./vocabulary.ts";

/**
 * The vocabulary that `tokenizer.ggml.*` and `tokenizer.chat_template` describe. `metadata`: the file's, with arrays as
 * arrays or typed arrays. Throws ConfigError for a tokenizer of another kind, FormatError for damaged metadata.
 */
export async function readGgufVocabulary(metadata: ReadonlyMap<string, unknown>, where: string): Promise<Vocabulary> {
  throw new FormatError("invalid-vocabulary", "vocabularies of GGUF files are not read yet", {
    where,
    found: String(metadata.get("tokenizer.ggml.model")),
  });
}
