/** The cache of keys and values of earlier tokens. */
import { expectShape, type Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

export const cacheWriteKernel = defineKernel(
  "cache_write",
  { cache: "update", qkv: "read", slots: "read vec2u" },
  { tokens: "u32", heads: "u32", head_size: "u32", positions: "u32" },
  ({ tokens, heads, head_size }) => [ceilDiv(heads * head_size, 64), tokens, 1],
  "slots 2 heads positions head_size, tokens 3C, tokens 2",
  { byIndex: true },
);

/** The shape of a block's cache: slots, keys and values, heads, positions, numbers of a head. */
export function cacheShape(slots: number, heads: number, positions: number, headSize: number) {
  return [slots, 2, heads, positions, headSize] as const;
}

/** Keys and values of qkv [N, 3C] into cache [S, 2, NH, T, HS] at slots [N, 2]: a slot and a position in it. */
export function cacheWrite(cache: Tensor, qkv: Tensor, slots: Tensor): Dispatch {
  const [, , heads, positions, head_size] = cache.shape as ReturnType<typeof cacheShape>;
  expectShape(`cache_write: qkv (${qkv.name})`, qkv.shape, [qkv.shape[0]!, 3 * heads * head_size]);
  return dispatch(cacheWriteKernel, { cache, qkv, slots }, { tokens: "tokens", heads, head_size, positions });
}
