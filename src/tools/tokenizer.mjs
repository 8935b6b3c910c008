/**
 * Generates dist/gpt2.tokenizer.bin from GPT-2's published vocab.json and merges.txt (1.5 MB of text): 200 KB that are
 * loaded without parsing. In GPT-2, merge number i produces token id 256 + i, so that the token pairs in merge order
 * define the whole vocabulary. The format is described in assembly/data/vocabulary.ts.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const FOLDER = "data/models/gpt2-micro";
const SOURCES = {
  "vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
  "merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
};
const MAGIC = "LRT1";
const END_OF_TEXT = "<|endoftext|>";

function readSource(name) {
  const bytes = readFileSync(`${FOLDER}/${name}`);
  const hash = createHash("sha256").update(bytes).digest("hex");
  if (hash !== SOURCES[name]) throw new Error(`${FOLDER}/${name} has sha256 ${hash}, expected ${SOURCES[name]}`);
  return bytes.toString("utf8");
}

/** The characters for the 256 bytes in GPT-2's files: the byte itself if printable, otherwise one from U+0100 on. */
function letterOfByte() {
  let unprintable = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : 256 + unprintable++);
  });
}

/** The tables as bytes. Throws if the sources lack the regularity that the format relies on. */
export function tokenizerTables() {
  const vocabulary = JSON.parse(readSource("vocab.json"));
  const merges = readSource("merges.txt").split("\n").slice(1, -1);
  const out = Buffer.alloc(8 + 256 + 4 * merges.length);
  out.write(MAGIC, 0, "latin1");
  out.writeUInt32LE(merges.length, 4);
  for (const [byte, letter] of letterOfByte().entries()) {
    const id = vocabulary[letter];
    if (!(id < 256)) throw new Error(`byte ${byte} has id ${id}`);
    out[8 + id] = byte;
  }
  for (const [i, merge] of merges.entries()) {
    const [left, right] = merge.split(" ");
    if (vocabulary[left + right] !== 256 + i) throw new Error(`merge ${i} (${merge}) does not produce id ${256 + i}`);
    out.writeUInt16LE(vocabulary[left], 8 + 256 + 2 * i);
    out.writeUInt16LE(vocabulary[right], 8 + 256 + 2 * merges.length + 2 * i);
  }
  const size = 256 + merges.length + 1;
  if (vocabulary[END_OF_TEXT] !== size - 1 || Object.keys(vocabulary).length !== size)
    throw new Error(`the vocabulary is not 256 bytes, ${merges.length} merges and ${END_OF_TEXT}`);
  return out;
}

export function buildTokenizer(folder) {
  writeFileSync(`${folder}/gpt2.tokenizer.bin`, tokenizerTables());
}
