/** GPT-2's block: positions are in the embedding, and the MLP is proj(activation(fc(x))). */
import { innerWidth } from "../config.ts";
import { layernormBackward, layernormForward, layernormParametersBackward } from "../ops/layernorm.ts";
import type { Architecture } from "./block.ts";
import { rowTensor } from "./layers.ts";
import { only } from "./parameters.ts";

export const gpt2: Architecture = {
  norm: {
    stats: 2,
    forward: ({ weight, bias, rows, inp, stats }, out, epsilon) =>
      layernormForward(out, stats, inp, only(weight), only(bias!), rows.count, epsilon),
    backward: ({ weight, bias, rows, inp, stats }, dx, out, dout, add) =>
      layernormBackward(dx, out, dout, { inp, stats, weight: only(weight), bias: only(bias!) }, rows.count, add),
    parametersBackward: ({ weight, bias, rows, inp, stats }, dout) =>
      layernormParametersBackward(only(weight.grad!), only(bias!.grad!), dout, inp, stats, rows.count),
  },

  queries(f, l, x, rows, { out }) {
    const norm = f.norm(`h.${l}.ln_1`, x, rows);
    return { norm, qkv: f.linear(l, "attn.c_attn", norm.out, rows, out ? { out } : {}) };
  },

  queriesBackward() {},

  mlp(f, l, x, rows, out, saves) {
    const norm = f.norm(`h.${l}.ln_2`, x, rows);
    const inner = rowTensor(`h.${l}.fcg`, rows, [innerWidth(f.config)]);
    const by = f.activation;
    // The backward pass needs the activation's input.
    const next = saves ? { activate: { by, out: inner } } : { activate: { by, out: "in place" as const }, out: inner };
    const fc = f.linear(l, "mlp.c_fc", norm.out, rows, next);
    return { norm, fc, inner, proj: f.output(l, "mlp", inner, rows, { out, residual: x }) };
  },

  mlpBackward(b, { norm, fc, inner, proj: { linear: proj, ...rest } }, dx) {
    const act = rowTensor(inner.name, fc.rows, inner.shape.slice(1));
    const dproj = b.outputBackward({ linear: proj, ...rest }, dx);
    if (!dproj) return null;
    const dfc = b.linearBackward(proj, dproj, { activated: { by: b.activation, inp: fc.out, act } });
    if (!dfc) {
      b.gradients({ of: proj, x: b.activate(fc.out, act, fc.rows), dy: dproj });
      return null;
    }
    const dnorm = b.linearBackward(fc, dfc);
    const below = dnorm ? b.normBackward(norm, dnorm, dx) : { dx: null, out: () => b.normAgain(norm) };
    b.gradients({ of: proj, x: act, dy: dproj }, { of: fc, x: below.out, dy: dfc });
    return below.dx;
  },
};
