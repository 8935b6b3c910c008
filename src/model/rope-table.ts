/**
 * Rotary position embedding (ops/rope.ts) as a layer, and its table, with the roundings of transformers, which computes
 * the angles in f32: at far positions their last bit is much of an angle.
 */
import type { ModelConfig, RopeScaling } from "../core/config.ts";
import { Tensor } from "../core/tensor.ts";
import type { Dispatch } from "../ops/kernel.ts";
import type { ropeForward } from "../ops/rope.ts";

export type RopeConfig = NonNullable<ModelConfig["rope"]> & { dims: number };

const { fround, PI, cos, sin } = Math;

/** Llama 3.1's stretching of one frequency: transformers' _compute_llama3_parameters. */
function llama3Frequency(frequency: number, scaling: RopeScaling & { rope_type: "llama3" }): number {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling;
  const wavelength = fround(fround(2 * PI) / frequency);
  if (wavelength < context / high) return frequency;
  const stretched = fround(frequency / factor);
  if (wavelength > context / low) return stretched;
  const smooth = fround(fround(fround(context / wavelength) - low) / (high - low));
  return fround(fround(fround(fround(1 - smooth) * frequency) / factor) + fround(smooth * frequency));
}

/** The angle of number i of the first half of what is rotated at position 1. */
function frequency(i: number, { theta, dims, scaling }: RopeConfig): number {
  const plain = fround(1 / fround(theta ** fround((2 * i) / dims)));
  if (!scaling) return plain;
  return scaling.rope_type === "linear" ? fround(plain / scaling.factor) : llama3Frequency(plain, scaling);
}

/** The table [positions, dims]: the cosines of a position's angles, then their sines. */
export function ropeTable(config: RopeConfig, positions: number): Float32Array {
  const half = config.dims / 2;
  const frequencies = Array.from({ length: half }, (_, i) => frequency(i, config));
  const table = new Float32Array(positions * config.dims);
  for (let position = 0; position < positions; position++)
    for (let i = 0; i < half; i++) {
      const angle = fround(position * frequencies[i]!);
      const at = position * config.dims + i;
      table[at] = cos(angle);
      table[at + half] = sin(angle);
    }
  return table;
}

/** Rotates queries and keys, or with `ropeBackward` their gradients back, in place. */
export function rotate(
  rope: typeof ropeForward,
  config: ModelConfig,
  qkv: Tensor,
  { bounds, shift }: { bounds: Tensor; shift: number },
): Dispatch {
  const { n_embd, n_head, n_kv_head = n_head } = config;
  const headSize = n_embd / n_head;
  const heads = { heads: n_head + n_kv_head, headSize, rotated: config.rope!.dims ?? headSize };
  return rope(qkv, frequencies(config, heads.rotated), bounds, heads, shift);
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
