/**
 * The block of a Llama-type model (Touvron et al. 2023): queries and keys are rotated by their positions, and the MLP
 * is down(silu(gate(x)) * up(x)). `attn.c_attn` is queries, keys and values side by side, `mlp.c_fc` gate and up.
 */
import type { Architecture } from "./graph.ts";

export const llama: Architecture = {
  centred: false,
  block(g, l, x) {
    const qkv = g.rotate(g.linear(l, "attn.c_attn", g.norm(`h.${l}.ln_1`, x)));
    const att = g.linear(l, "attn.c_proj", g.attention(l, qkv));
    const mid = g.add(`x.${l}.mid`, x, att);
    const both = g.linear(l, "mlp.c_fc", g.norm(`h.${l}.ln_2`, mid));
    const down = g.linear(l, "mlp.c_proj", g.gate(`h.${l}.inner`, both));
    return g.add(`block.${l}`, mid, down);
  },
};
