/** The compared tokenizers, by the names of their packages, each in its fastest configuration. */

export interface Encoder {
  encode(text: string): ArrayLike<number>;
  decode(ids: ArrayLike<number>): string;
}

export const PEERS: Readonly<Record<string, () => Promise<Encoder>>> = {
  lowrank: async () => (await import("../data/tokenizer.ts")).Tokenizer.load(),
  "gpt-tokenizer": async () => {
    const { encode, decode } = await import("gpt-tokenizer/encoding/r50k_base");
    const ordinary = { disallowedSpecial: new Set<string>() };
    return { encode: (text) => encode(text, ordinary), decode: (ids) => decode(ids as number[]) };
  },
};
