/**
 * Prefix tuning: n keys and values a block. Block l has columns l * 2W .. of prefix [n, L * 2W], W = KV HS: keys, then
 * values.
 */
import { ShapeError } from "../core/errors.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { type Heads, headSize } from "./attention.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

/** Between a block's columns of the prefix, or of its gradient, and its rows of qkv. */
export const prefixCopyKernel = defineKernel(
  "prefix_copy",
  { out: "update", inp: "read" },
  { count: "u32", cols: "u32", out_at: "u32", out_row: "u32", inp_at: "u32", inp_row: "u32", beta: "u32" },
  ({ count, cols }) => [ceilDiv(cols, 64), count, 1],
  undefined,
  { work: null },
);

export const prefixCacheKernel = defineKernel(
  "prefix_cache",
  { cache: "update", prefix: "read" },
  { slots: "u32", kv_heads: "u32", head_size: "u32", positions: "u32", count: "u32", width: "u32", column: "u32" },
  ({ slots, kv_heads, head_size, count }) => [ceilDiv(2 * kv_heads * head_size, 64), count, slots],
  "slots 2 kv_heads positions head_size, count width",
  { work: null },
);

/** Where block l's keys and values are in the prefix. Throws ShapeError if it has none, or more than `room` rows. */
function locateBlock(prefix: Tensor, l: number, cols: number, room: number) {
  const [count, width] = prefix.shape as [number, number];
  if (width % (2 * cols) !== 0 || (l + 1) * 2 * cols > width || count > room)
    throw new ShapeError("wrong-shape", `the prefix (${prefix.name}) has no keys and values for block ${l}`, {
      expected: `at most ${room} rows of ${2 * cols} columns a block, and ${l + 1} blocks or more`,
      found: formatShape(prefix.shape),
    });
  return { count, width, column: l * 2 * cols };
}

/** How many keys and values a block has, and where they are in the prefix, and in qkv from this row on. */
function findRows(qkv: Tensor, row: number, prefix: Tensor, l: number, heads: Heads) {
  const [room, qkvWidth] = qkv.shape as [number, number];
  const cols = heads.kvCount * headSize(qkv, heads);
  const { count, width, column } = locateBlock(prefix, l, cols, room - row);
  const behind = { at: (row + 1) * qkvWidth - 2 * cols, row: qkvWidth };
  return { size: { count, cols: 2 * cols }, inPrefix: { at: column, row: width }, inQkv: behind };
}

/** Keys and values of block l of prefix [n, L * 2W] into rows row .. row + n - 1 of qkv [room, (NH + 2 KV) HS]. */
export function prefixForward(qkv: Tensor, row: number, prefix: Tensor, l: number, heads: Heads): Dispatch {
  const { size, inPrefix: from, inQkv: to } = findRows(qkv, row, prefix, l, heads);
  const dims = { ...size, out_at: to.at, out_row: to.row, inp_at: from.at, inp_row: from.row, beta: 0 };
  return dispatch(prefixCopyKernel, { out: qkv, inp: prefix }, dims);
}

/** Adds the gradients of keys and values in block l's rows of dqkv to its columns of dprefix [n, L * 2W]. */
export function prefixBackward(dprefix: Tensor, l: number, dqkv: Tensor, row: number, heads: Heads): Dispatch {
  const { size, inPrefix: to, inQkv: from } = findRows(dqkv, row, dprefix, l, heads);
  const dims = { ...size, out_at: to.at, out_row: to.row, inp_at: from.at, inp_row: from.row, beta: 1 };
  return dispatch(prefixCopyKernel, { out: dprefix, inp: dqkv }, dims);
}

/** The same keys and values into positions 0 .. n - 1 of every slot of cache [S, 2, KV, T, HS]. */
export function cachePrefix(cache: Tensor, prefix: Tensor, l: number): Dispatch {
  const [slots, , kv_heads, positions, head_size] = cache.shape as [number, number, number, number, number];
  const part = locateBlock(prefix, l, kv_heads * head_size, positions);
  return dispatch(prefixCacheKernel, { cache, prefix }, { slots, kv_heads, head_size, positions, ...part });
}
