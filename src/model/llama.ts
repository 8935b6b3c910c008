/**
 * The block of a Llama-type model (Touvron et al. 2023): queries and keys are rotated by their positions, and the MLP
 * is down(silu(gate(x)) * up(x)). `attn.c_attn` is queries, keys and values side by side, `mlp.c_fc` gate and up. Norms
 * are RMS norms, without a bias.
 */
import { innerWidth, type ModelConfig } from "../config.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { rmsnormBackward, rmsnormForward, rmsnormParametersBackward } from "../ops/rmsnorm.ts";
import { ropeBackward, ropeForward } from "../ops/rope.ts";
import { swigluBackward, swigluForward } from "../ops/swiglu.ts";
import { Tensor } from "../tensor.ts";
import type { Architecture, Positions } from "./block.ts";
import { rowTensor } from "./layers.ts";
import { only } from "./parameters.ts";
import { ropeTable } from "./rope-table.ts";

export const llama: Architecture = {
  norm: {
    stats: 1,
    forward: ({ weight, rows, inp, stats }, out, epsilon) =>
      rmsnormForward(out, stats, inp, only(weight), rows.count, epsilon),
    backward: ({ weight, rows, inp, stats }, dx, out, dout, add) =>
      rmsnormBackward(dx, out, dout, { inp, rstd: stats, weight: only(weight) }, rows.count, add),
    parametersBackward: ({ weight, rows, inp, stats }, dout) =>
      rmsnormParametersBackward(only(weight.grad!), dout, inp, stats, rows.count),
  },

  queries(f, l, x, rows, { out, ...positions }) {
    const norm = f.norm(`h.${l}.ln_1`, x, rows);
    const qkv = f.linear(l, "attn.c_attn", norm.out, rows, out ? { out } : {});
    f.emit(rotate(ropeForward, qkv.out, positions, f.config));
    return { norm, qkv };
  },

  queriesBackward(b, dqkv, positions) {
    b.emit(rotate(ropeBackward, dqkv, positions, b.config));
  },

  mlp(f, l, x, rows, out) {
    const norm = f.norm(`h.${l}.ln_2`, x, rows);
    const fc = f.linear(l, "mlp.c_fc", norm.out, rows);
    const inner = rowTensor(`h.${l}.inner`, rows, [innerWidth(f.config)]);
    f.emit(swigluForward(inner, fc.out, rows.count));
    return { norm, fc, inner, proj: f.output(l, "mlp", inner, rows, { out, residual: x }) };
  },

  mlpBackward(b, { norm, fc, inner, proj: { linear: proj, adapter } }, dx) {
    const { rows } = fc;
    const again = rowTensor(inner.name, rows, inner.shape.slice(1));
    const dproj = b.outputBackward({ linear: proj, adapter }, dx);
    if (!dproj) return null;
    const dinner = b.linearBackward(proj, dproj);
    if (!dinner) {
      b.emit(swigluForward(again, fc.out, rows.count));
      b.gradients({ of: proj, x: again, dy: dproj });
      return null;
    }
    const dfc = rowTensor(`d${fc.name}`, rows, fc.out.shape.slice(1));
    b.emit(swigluBackward(dfc, again, dinner, fc.out, rows.count));
    const dnorm = b.linearBackward(fc, dfc);
    const below = dnorm ? b.normBackward(norm, dnorm, dx) : { dx: null, out: () => b.normAgain(norm) };
    b.gradients({ of: proj, x: again, dy: dproj }, { of: fc, x: below.out, dy: dfc });
    return below.dx;
  },
};

/** Rotates queries and keys, or their gradients back, in place. */
function rotate(rope: typeof ropeForward, qkv: Tensor, { bounds, shift }: Positions, config: ModelConfig): Dispatch {
  const { n_embd, n_head, n_kv_head = n_head } = config;
  const heads = { heads: n_head + n_kv_head, headSize: n_embd / n_head };
  return rope(qkv, frequencies(config), bounds, heads, shift);
}

const known = new Map<string, WeakRef<Tensor>>();

/** The table of all positions. Plans of one model share it, as they do its weights: see plan/fuse.ts. */
function frequencies({ rope, n_positions, n_embd, n_head }: ModelConfig): Tensor {
  const headSize = n_embd / n_head;
  const key = JSON.stringify([rope, n_positions, headSize]);
  const table = known.get(key)?.deref();
  if (table) return table;
  const values = ropeTable({ ...rope!, headSize }, n_positions);
  const shape = [n_positions, headSize];
  const made = new Tensor("rope.table", shape, "table", "f32", undefined, 0, new Uint32Array(values.buffer));
  known.set(key, new WeakRef(made));
  return made;
}
