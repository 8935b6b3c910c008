import { ShapeError } from "../errors.ts";
import { expectShape, type Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

const DIMS = {
  tokens: "u32",
  heads: "u32",
  prefix_row: "u32",
  scale: "f32",
  head_size: "override",
  prefix: "override",
} as const;
type Dims = Record<keyof typeof DIMS, number>;
const grid = ({ tokens, heads }: Dims) => [ceilDiv(tokens, 32), heads, 1] as const;

export const attentionForwardKernel = defineKernel(
  "attention_forward",
  { out: "write vec4f", lse: "write", qkv: "read vec4f", bounds: "read vec2u" },
  DIMS,
  grid,
  "tokens C, tokens heads, room 3C, tokens 2",
  { preludes: ["attention_tiles"], classifies: true },
);

export const attentionQueryBackwardKernel = defineKernel(
  "attention_query_backward",
  {
    dqkv: "write vec4f",
    delta: "write",
    dout: "read vec4f",
    out: "read vec4f",
    lse: "read",
    qkv: "read vec4f",
    bounds: "read vec2u",
  },
  DIMS,
  grid,
  "room 3C, tokens heads, tokens C, tokens C, tokens heads, room 3C, tokens 2",
  { preludes: ["attention_tiles", "attention_backward"] },
);

export const attentionKeyvalueBackwardKernel = defineKernel(
  "attention_keyvalue_backward",
  { dqkv: "update vec4f", delta: "read", dout: "read vec4f", lse: "read", qkv: "read vec4f", bounds: "read vec2u" },
  DIMS,
  ({ tokens, heads, prefix }: Dims) => [ceilDiv(prefix, 32) + ceilDiv(tokens, 32), heads, 1],
  "room 3C, tokens heads, tokens C, tokens heads, room 3C, tokens 2",
  { preludes: ["attention_tiles", "attention_backward"] },
);

export const attentionCachedKernel = defineKernel(
  "attention_cached",
  { out: "write vec4f", qkv: "read vec4f", cache: "read vec4f", slots: "read vec2u" },
  { tokens: "u32", heads: "u32", scale: "f32", head_size: "override", positions: "u32" },
  ({ tokens, heads }) => [tokens, heads, 1],
  "tokens C, tokens 3C, slots 2 heads positions head_size, tokens 2",
);

/** The widest head: lanes hold the sums of four rows in registers. */
export const MAX_HEAD_SIZE = 128;

/** The heads, and the factor of their scores: 1 / sqrt(HS) in GPT-2. */
export interface Heads {
  count: number;
  scale: number;
}

/** Rows of qkv after the tokens': keys and values that every token attends to, beside those of its sequence. */
export interface Prefix {
  count: number;
  row: number;
}

function headSize(out: Tensor, heads: number): number {
  const size = out.shape[1]! / heads;
  if (size % 4 !== 0 || size > MAX_HEAD_SIZE)
    throw new ShapeError("wrong-shape", "attention: head size", {
      expected: `a multiple of 4, at most ${MAX_HEAD_SIZE}`,
      found: String(size),
    });
  return size;
}

function dims(out: Tensor, qkv: Tensor, { count: heads, scale }: Heads, prefix?: Prefix) {
  const [tokens, C] = out.shape as [number, number];
  const { count, row } = prefix ?? { count: 0, row: tokens };
  if (row < tokens)
    throw new ShapeError("rows-out-of-range", "attention: the prefix's first row", {
      expected: `at least ${tokens}, behind the tokens' rows`,
      found: String(row),
    });
  expectShape(`attention: qkv (${qkv.name})`, qkv.shape, [row + count, 3 * C]);
  const size = headSize(out, heads);
  return { tokens: "tokens", heads, prefix_row: count > 0 ? row : 0, scale, head_size: size, prefix: count } as const;
}

/**
 * out [N, C], lse [N, NH] from qkv [N, 3C], causal within the sequences given by `bounds` [N, 2]. With a prefix, qkv
 * ends with its rows.
 */
export function attentionForward(
  out: Tensor,
  lse: Tensor,
  qkv: Tensor,
  bounds: Tensor,
  heads: Heads,
  prefix?: Prefix,
): Dispatch {
  return dispatch(attentionForwardKernel, { out, lse, qkv, bounds }, dims(out, qkv, heads, prefix));
}

/**
 * dqkv, of qkv's shape, from dout [N, C] and the forward pass's saved tensors; delta [N, NH] is scratch. The prefix's
 * rows get the sums over all tokens for its keys and values; there are no queries in them.
 */
export function attentionBackward(
  dqkv: Tensor,
  delta: Tensor,
  dout: Tensor,
  out: Tensor,
  lse: Tensor,
  qkv: Tensor,
  bounds: Tensor,
  heads: Heads,
  prefix?: Prefix,
): Dispatch[] {
  const scalars = dims(out, qkv, heads, prefix);
  return [
    dispatch(attentionQueryBackwardKernel, { dqkv, delta, dout, out, lse, qkv, bounds }, scalars),
    dispatch(attentionKeyvalueBackwardKernel, { dqkv, delta, dout, lse, qkv, bounds }, scalars),
  ];
}

/**
 * out [N, C] from the queries in qkv [N, 3C] and cache [S, 2, NH, T, HS], each token against its slot up to its
 * position, by slots [N, 2].
 */
export function attentionCached(out: Tensor, qkv: Tensor, cache: Tensor, slots: Tensor, scale: number): Dispatch {
  const [, , heads, positions] = cache.shape as [number, number, number, number];
  const scalars = { tokens: "tokens", heads, scale, head_size: headSize(out, heads), positions } as const;
  return dispatch(attentionCachedKernel, { out, qkv, cache, slots }, scalars);
}
