/**
 * BERT's block (Devlin et al. 2018), also RoBERTa's: norms stand behind the sums. Seen from the sums it is a GPT-2's
 * whose residual stream continues behind the norm, so that tensors have the same names: `h.0.ln_1` is the norm behind
 * the embedding, that behind a block is the next block's `ln_1`, or `ln_f`. Attention is not causal.
 */
import type { Architecture } from "./graph.ts";

export const bert: Architecture = {
  centred: true,
  block(g, l, x) {
    const before = g.norm(`h.${l}.ln_1`, x);
    const att = g.linear(l, "attn.c_proj", g.attention(l, g.linear(l, "attn.c_attn", before)));
    const mid = g.norm(`h.${l}.ln_2`, g.add(`x.${l}.mid`, before, att));
    const proj = g.linear(l, "mlp.c_proj", g.activate(`h.${l}.fcg`, g.linear(l, "mlp.c_fc", mid)));
    return g.add(`block.${l}`, mid, proj);
  },
};
