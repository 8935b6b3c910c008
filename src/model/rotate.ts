/** Rotary positions as a layer: see ops/rope.ts. Loaded with the architectures that have them. */
import type { ModelConfig } from "../config.ts";
import { ropeBackward, ropeForward } from "../ops/rope.ts";
import { Tensor } from "../tensor.ts";
import type { Lowering, Rotate } from "./lower.ts";
import { ropeTable } from "./rope-table.ts";

export const rotate: Rotate = {
  forward: (f, qkv) => turn(ropeForward, f, qkv),
  backward: (f, dqkv) => turn(ropeBackward, f, dqkv),
};

/** Rotates queries and keys, or their gradients back, in place. */
function turn(rope: typeof ropeForward, { config, source }: Lowering, qkv: Tensor) {
  const { n_embd, n_head, n_kv_head = n_head } = config;
  const headSize = n_embd / n_head;
  const heads = { heads: n_head + n_kv_head, headSize, rotated: config.rope!.dims ?? headSize };
  return rope(qkv, frequencies(config, heads.rotated), source.bounds, heads, source.shift);
}

const known = new Map<string, WeakRef<Tensor>>();

/** The table of all positions. Plans of one model share it. */
function frequencies({ rope, n_positions }: ModelConfig, dims: number): Tensor {
  const key = JSON.stringify([rope, n_positions, dims]);
  const table = known.get(key)?.deref();
  if (table) return table;
  const values = ropeTable({ ...rope!, dims }, n_positions);
  const shape = [n_positions, dims];
  const made = new Tensor("rope.table", shape, "table", "f32", undefined, 0, new Uint32Array(values.buffer));
  known.set(key, new WeakRef(made));
  return made;
}
