/** What few names in transformers' files are, which a page loads with any model; layouts.ts has the others. */
import type { traits } from "../config.ts";

export type Family = ReturnType<typeof traits>["family"];

/** What the names of tensors begin with, all but those of heads; the token table, and the head of a language model. */
export const FILE_NAMES: Readonly<Record<Family, { prefix: string; table: string; head: string }>> = {
  gpt2: { prefix: "transformer", table: "wte", head: "lm_head" },
  llama: { prefix: "model", table: "embed_tokens", head: "lm_head" },
  gpt_neox: { prefix: "gpt_neox", table: "embed_in", head: "embed_out" },
};
