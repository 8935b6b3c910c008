/**
 * GPT-NeoX's block (Black et al. 2022): queries and keys are rotated by their positions, and the MLP reads what the
 * attention reads, so that both are added to the residual stream; in some models, as in a GPT-2, their sum.
 */
import type { Architecture } from "./graph.ts";

export const neox: Architecture = {
  centred: true,
  block(g, l, x) {
    const qkv = g.rotate(g.linear(l, "attn.c_attn", g.norm(`h.${l}.ln_1`, x)));
    const att = g.linear(l, "attn.c_proj", g.attention(l, qkv));
    const mid = g.add(`x.${l}.mid`, x, att);
    const { use_parallel_residual = true } = g.config;
    const fc = g.linear(l, "mlp.c_fc", g.norm(`h.${l}.ln_2`, use_parallel_residual ? x : mid));
    const proj = g.linear(l, "mlp.c_proj", g.activate(`h.${l}.fcg`, fc));
    return g.add(`block.${l}`, mid, proj);
  },
};
