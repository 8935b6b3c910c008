/** Converts GPT-2's published files in data/models/gpt2-micro to peers' formats, before anything is measured. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packagePath } from "#platform";
import { Tokenizer } from "../data/tokenizer.ts";
import { RANKS } from "./peers.ts";

/** Writes the files into `folder`, except those whose package is not installed. */
export async function prepare(folder: string): Promise<void> {
  await Promise.all([writeRanks(join(folder, RANKS)), writeKit(join(folder, "gpt2.kit"))]);
}

/** Lines of "<token in base64> <id>". */
async function writeRanks(path: string): Promise<void> {
  const tokenizer = await Tokenizer.load();
  const lines = Array.from({ length: tokenizer.vocabSize - 1 }, (_, id) => {
    return `${Buffer.from(tokenizer.decodeBytes([id])).toString("base64")} ${id}\n`;
  });
  await writeFile(path, lines.join(""));
}

/** kitoken's definition, converted from the format of Hugging Face's tokenizers. */
async function writeKit(path: string): Promise<void> {
  const kitoken = await import("kitoken/node").catch(() => null);
  if (!kitoken) return;
  const read = (name: string) => readFile(packagePath(`data/models/gpt2-micro/${name}`), "utf8");
  const vocab = JSON.parse(await read("vocab.json"));
  const merges = (await read("merges.txt")).trimEnd().split("\n").slice(1);
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  const definition = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: bytes,
    post_processor: null,
    decoder: bytes,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      vocab,
      merges,
    },
  };
  const encoder = kitoken.Kitoken.from_tokenizers(new TextEncoder().encode(JSON.stringify(definition)));
  await writeFile(path, encoder.to_bytes());
}
