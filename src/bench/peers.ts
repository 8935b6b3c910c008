/** The compared tokenizers: Lowrank's and its peers from npm, each in its fastest and smallest configuration. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** A loaded tokenizer. */
export interface Encoder {
  encode(text: string): ArrayLike<number>;
  decode(ids: ArrayLike<number>): string;
}

export interface Peer {
  name: string;
  /** The npm package; null for Lowrank itself. */
  package: string | null;
  /** Loads the tokenizer. `folder` holds the files of `prepare`. */
  open(folder: string): Promise<Encoder>;
  /** The source of the module that a page would load, and its data files. */
  wire: { source: string; files: readonly WireFile[] };
}

/** A file of the installed package (dist/, node_modules/), or one that was prepared for the benchmark. */
type WireFile = { shipped: string } | { prepared: string };

/** kitoken's own format, which it loads fastest, converted from GPT-2's files. */
const KIT = "gpt2.kit";
/** tiktoken's format, for the Python package. */
export const RANKS = "gpt2.tiktoken";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

export const PEERS: readonly Peer[] = [
  {
    name: "lowrank",
    package: null,
    async open() {
      const { Tokenizer } = await import("../data/tokenizer.ts");
      return Tokenizer.load();
    },
    wire: {
      source: 'export * from "./src/data/tokenizer.ts"',
      files: [{ shipped: "dist/tokenizer.wasm" }, { shipped: "dist/gpt2.tokenizer.bin" }],
    },
  },
  {
    name: "gpt-tokenizer",
    package: "gpt-tokenizer",
    async open() {
      const { encode, decode } = await import("gpt-tokenizer/encoding/r50k_base");
      const ordinary = { disallowedSpecial: new Set<string>() };
      return { encode: (text) => encode(text, ordinary), decode: (ids) => decode(ids as number[]) };
    },
    wire: { source: 'export { encode, decode } from "gpt-tokenizer/encoding/r50k_base"', files: [] },
  },
  {
    name: "kitoken",
    package: "kitoken",
    async open(folder) {
      const { Kitoken } = await import("kitoken/node");
      const encoder = new Kitoken(await readFile(join(folder, KIT)));
      return {
        encode: (text) => encoder.encode(text),
        decode: (ids) => utf8.decode(encoder.decode(ids as Uint32Array)),
      };
    },
    wire: { source: 'export * from "kitoken/minimal"', files: [{ prepared: KIT }] },
  },
  {
    name: "tiktoken (WASM)",
    package: "tiktoken",
    async open() {
      const [{ Tiktoken }, { default: gpt2 }] = await Promise.all([
        import("tiktoken/lite"),
        import("tiktoken/encoders/gpt2.json", { with: { type: "json" } }),
      ]);
      const encoder = new Tiktoken(gpt2.bpe_ranks, gpt2.special_tokens, gpt2.pat_str);
      return {
        encode: (text) => encoder.encode_ordinary(text),
        decode: (ids) => utf8.decode(encoder.decode(ids as Uint32Array)),
      };
    },
    wire: {
      source: 'export * from "tiktoken/lite"; export { default } from "tiktoken/encoders/gpt2.json"',
      files: [],
    },
  },
  {
    name: "js-tiktoken",
    package: "js-tiktoken",
    async open() {
      const [{ Tiktoken }, { default: gpt2 }] = await Promise.all([
        import("js-tiktoken/lite"),
        import("js-tiktoken/ranks/gpt2"),
      ]);
      const encoder = new Tiktoken(gpt2);
      return { encode: (text) => encoder.encode(text, [], []), decode: (ids) => encoder.decode(ids as number[]) };
    },
    wire: { source: 'export * from "js-tiktoken/lite"; export { default } from "js-tiktoken/ranks/gpt2"', files: [] },
  },
];
