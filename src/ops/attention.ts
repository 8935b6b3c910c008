import { ShapeError } from "../core/errors.ts";
import { expectShape, formatShape, type Tensor } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

const DIMS = {
  tokens: "u32",
  heads: "u32",
  kv_heads: "u32",
  prefix_row: "u32",
  scale: "f32",
  head_size: "override",
  prefix: "override",
  causal: "override",
} as const;
type Dims = Record<keyof typeof DIMS, number>;
const grid = ({ tokens, heads }: Dims) => [ceilDiv(tokens, 32), heads, 1] as const;

export const attentionForwardKernel = defineKernel(
  "attention_forward",
  { out: "write vec4f", lse: "write", qkv: "read vec4f", bounds: "read vec2u" },
  DIMS,
  grid,
  "tokens C, tokens heads, room width, tokens 2",
  { preludes: ["attention_tiles", "attention_products"] },
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
  "room width, tokens heads, tokens C, tokens C, tokens heads, room width, tokens 2",
  { preludes: ["attention_tiles", "attention_products", "attention_backward"] },
);

export const attentionKeyvalueBackwardKernel = defineKernel(
  "attention_keyvalue_backward",
  { dqkv: "update vec4f", delta: "read", dout: "read vec4f", lse: "read", qkv: "read vec4f", bounds: "read vec2u" },
  DIMS,
  ({ tokens, kv_heads, prefix }: Dims) => [ceilDiv(prefix, 32) + ceilDiv(tokens, 32), kv_heads, 1],
  "room width, tokens heads, tokens C, tokens heads, room width, tokens 2",
  { preludes: ["attention_tiles", "attention_backward"] },
);

export const attentionCachedKernel = defineKernel(
  "attention_cached",
  { out: "write vec4f", qkv: "read vec4f", cache: "read vec4f", slots: "read vec2u" },
  { tokens: "u32", heads: "u32", kv_heads: "u32", scale: "f32", head_size: "override", positions: "u32" },
  ({ tokens, heads }) => [tokens, heads, 1],
  "tokens C, tokens width, slots 2 kv_heads positions head_size, tokens 2",
);

/** The widest head: lanes hold the sums of four rows in registers. */
export const MAX_HEAD_SIZE = 128;

/**
 * NH heads of queries and KV of keys and values, each of which serves NH / KV consecutive heads of queries (in GPT-2
 * one), and the factor of the scores: 1 / sqrt(HS) in GPT-2. `isCausal`: whether a
 * token attends to none behind it; absent: it is.
 */
export interface Heads {
  count: number;
  kvCount: number;
  scale: number;
  isCausal?: boolean;
}

/** Rows of qkv after the tokens': keys and values that every token attends to, in addition to those of its sequence. */
export interface Prefix {
  count: number;
  row: number;
}

/** The head size HS of qkv [N, (NH + 2 KV) HS]: the queries of all heads, the keys, the values. */
export function headSize(qkv: Tensor, { count, kvCount }: Heads): number {
  const all = count + 2 * kvCount;
  const columns = qkv.shape[1]!;
  if (count % kvCount !== 0 || columns % all !== 0)
    throw new ShapeError("wrong-shape", `${qkv.name}: ${count} heads, ${kvCount} of keys and values`, {
      expected: `a number of heads that ${kvCount} divides, and a multiple of ${all} columns`,
      found: formatShape(qkv.shape),
    });
  return columns / all;
}

/** The scalars of all kernels here, for qkv of these rows. */
function headScalars(out: Tensor, qkv: Tensor, rows: number, heads: Heads) {
  const head_size = headSize(qkv, heads);
  if (head_size % 4 !== 0 || head_size > MAX_HEAD_SIZE)
    throw new ShapeError("wrong-shape", "attention: head size", {
      expected: `a multiple of 4, at most ${MAX_HEAD_SIZE}`,
      found: String(head_size),
    });
  const { count, kvCount, scale } = heads;
  expectShape(`attention: out (${out.name})`, out.shape, [out.shape[0]!, count * head_size]);
  expectShape(`attention: qkv (${qkv.name})`, qkv.shape, [rows, qkv.shape[1]!]);
  return { tokens: "tokens", heads: count, kv_heads: kvCount, scale, head_size } as const;
}

function dims(out: Tensor, qkv: Tensor, heads: Heads, prefix?: Prefix) {
  const [tokens] = out.shape as [number, number];
  const { count, row } = prefix ?? { count: 0, row: tokens };
  if (row < tokens)
    throw new ShapeError("rows-out-of-range", "attention: the prefix's first row", {
      expected: `at least ${tokens}, behind the tokens' rows`,
      found: String(row),
    });
  const placed = { prefix_row: count > 0 ? row : 0, prefix: count, causal: Number(heads.isCausal ?? true) };
  return { ...headScalars(out, qkv, row + count, heads), ...placed } as const;
}

/**
 * out [N, NH HS], lse [N, NH] from qkv [N, (NH + 2 KV) HS], within the sequences given by `bounds` [N, 2]. With a
 * prefix, qkv ends with its rows.
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
 * dqkv, of qkv's shape, from dout [N, NH HS] and the forward pass's saved tensors; delta [N, NH] is scratch. The
 * prefix's rows get the sums over all tokens for its keys and values; there are no queries in them.
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
 * out [N, NH HS] from the queries in qkv [N, (NH + 2 KV) HS] and cache [S, 2, KV, T, HS], each token against its slot
 * up to its position, by slots [N, 2].
 */
export function attentionCached(out: Tensor, qkv: Tensor, cache: Tensor, slots: Tensor, heads: Heads): Dispatch {
  const scalars = { ...headScalars(out, qkv, out.shape[0]!, heads), positions: cache.shape[3]! };
  return dispatch(attentionCachedKernel, { out, qkv, cache, slots }, scalars);
}
