/** The cache of keys and values of earlier tokens. */
import type { Tensor } from "../core/tensor.ts";
import { type Heads, headSize } from "./attention.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

export const cacheWriteKernel = defineKernel(
  "cache_write",
  { cache: "update", qkv: "read", slots: "read vec2u" },
  { tokens: "u32", heads: "u32", kv_heads: "u32", head_size: "u32", positions: "u32" },
  ({ tokens, kv_heads, head_size }) => [ceilDiv(kv_heads * head_size, 64), tokens, 1],
  "slots 2 kv_heads positions head_size, tokens width, tokens 2",
  { work: null },
);

/** The shape of a block's cache: slots, keys and values, their heads, positions, numbers of a head. */
export function cacheShape(slots: number, kvHeads: number, positions: number, headSize: number) {
  return [slots, 2, kvHeads, positions, headSize] as const;
}

/** Keys and values of qkv [N, (NH + 2 KV) HS] into cache [S, 2, KV, T, HS] at slots [N, 2]: a slot and a position. */
export function cacheWrite(cache: Tensor, qkv: Tensor, slots: Tensor, heads: Heads): Dispatch {
  const { count, kvCount } = heads;
  const [head_size, positions] = [headSize(qkv, heads), cache.shape[3]!];
  const scalars = { tokens: "tokens", heads: count, kv_heads: kvCount, head_size, positions } as const;
  return dispatch(cacheWriteKernel, { cache, qkv, slots }, scalars);
}
