/** GPT-2's block: positions are in the embedding, and the MLP is proj(activation(fc(x))). */
import type { Architecture } from "./graph.ts";

export const gpt2: Architecture = {
  centred: true,
  block(g, l, x) {
    const qkv = g.linear(l, "attn.c_attn", g.norm(`h.${l}.ln_1`, x));
    const att = g.linear(l, "attn.c_proj", g.attention(l, qkv));
    const mid = g.add(`x.${l}.mid`, x, att);
    const fc = g.linear(l, "mlp.c_fc", g.norm(`h.${l}.ln_2`, mid));
    const proj = g.linear(l, "mlp.c_proj", g.activate(`h.${l}.fcg`, fc));
    return g.add(`block.${l}`, mid, proj);
  },
};
