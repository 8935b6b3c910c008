/** The compared tokenizers, by the names of their packages, each in its fastest configuration. */

import type { BaseModel } from "../io/hf.ts";

export interface Encoder {
  encode(text: string): ArrayLike<number>;
  decode(ids: ArrayLike<number>): string;
}

export const PEERS: Readonly<Record<string, (model?: BaseModel) => Promise<Encoder>>> = {
  lowrank: async (model) => (await import("../data/tokenizer.ts")).Tokenizer.load({ model }),
  "gpt-tokenizer": async () => {
    const { encode, decode } = await import("gpt-tokenizer/encoding/r50k_base");
    const ordinary = { disallowedSpecial: new Set<string>() };
    return { encode: (text) => encode(text, ordinary), decode: (ids) => decode(ids as number[]) };
  },
};
