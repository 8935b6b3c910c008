/** The compared tokenizers: Lowrank's and its peers from npm, each in its fastest and smallest configuration. */
/** A loaded tokenizer. */
export interface Encoder {
  encode(text: string): ArrayLike<number>;
  decode(ids: ArrayLike<number>): string;
}

export interface Peer {
  name: string;
  /** The npm package; null for Lowrank itself. */
  package: string | null;
  open(): Promise<Encoder>;
  /** The source of the module that a page would load, and its data files in the package. */
  wire: { source: string; files: readonly string[] };
}

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
      files: ["dist/tokenizer.wasm", "dist/gpt2.tokenizer.bin"],
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
];
