import { ShapeError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

const DIMS = { tokens: "u32", heads: "u32", head_size: "override" } as const;
const grid = ({ tokens, heads }: Record<keyof typeof DIMS, number>) => [ceilDiv(tokens, 32), heads, 1] as const;

export const attentionForwardKernel = defineKernel(
  "attention_forward",
  { out: "write vec4f", lse: "write", qkv: "read vec4f", bounds: "read vec2u" },
  DIMS,
  grid,
  "tokens C, tokens heads, tokens 3C, tokens 2",
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
  "tokens 3C, tokens heads, tokens C, tokens C, tokens heads, tokens 3C, tokens 2",
);

export const attentionKeyvalueBackwardKernel = defineKernel(
  "attention_keyvalue_backward",
  { dqkv: "update vec4f", delta: "read", dout: "read vec4f", lse: "read", qkv: "read vec4f", bounds: "read vec2u" },
  DIMS,
  grid,
  "tokens 3C, tokens heads, tokens C, tokens heads, tokens 3C, tokens 2",
);

export const attentionCachedKernel = defineKernel(
  "attention_cached",
  { out: "write vec4f", qkv: "read vec4f", cache: "read vec4f", slots: "read vec2u" },
  { tokens: "u32", heads: "u32", head_size: "override", positions: "u32" },
  ({ tokens, heads }) => [tokens, heads, 1],
  "tokens C, tokens 3C, slots 2 heads positions head_size, tokens 2",
);

/** The widest head: lanes hold the sums of four rows in registers. */
export const MAX_HEAD_SIZE = 128;

function dims(out: Tensor, heads: number) {
  const headSize = out.shape[1]! / heads;
  if (headSize % 4 !== 0 || headSize > MAX_HEAD_SIZE)
    throw new ShapeError("attention: head size", {
      expected: `a multiple of 4, at most ${MAX_HEAD_SIZE}`,
      found: String(headSize),
    });
  return { tokens: "tokens", heads, head_size: headSize } as const;
}

/** out [N, C], lse [N, NH] from qkv [N, 3C], causal within the sequences given by `bounds` [N, 2]. */
export function attentionForward(out: Tensor, lse: Tensor, qkv: Tensor, bounds: Tensor, heads: number): Dispatch {
  return dispatch(attentionForwardKernel, { out, lse, qkv, bounds }, dims(out, heads));
}

/** dqkv [N, 3C] from dout [N, C] and the forward pass's saved tensors; delta [N, NH] is scratch. */
export function attentionBackward(
  dqkv: Tensor,
  delta: Tensor,
  dout: Tensor,
  out: Tensor,
  lse: Tensor,
  qkv: Tensor,
  bounds: Tensor,
  heads: number,
): Dispatch[] {
  return [
    dispatch(attentionQueryBackwardKernel, { dqkv, delta, dout, out, lse, qkv, bounds }, dims(out, heads)),
    dispatch(attentionKeyvalueBackwardKernel, { dqkv, delta, dout, lse, qkv, bounds }, dims(out, heads)),
  ];
}

/**
 * out [N, C] from the queries in qkv [N, 3C] and cache [S, 2, NH, T, HS], each token against its slot up to its position, by
 * slots [N, 2].
 */
export function attentionCached(out: Tensor, qkv: Tensor, cache: Tensor, slots: Tensor): Dispatch {
  const [, , heads, positions] = cache.shape as [number, number, number, number];
  return dispatch(attentionCachedKernel, { out, qkv, cache, slots }, { ...dims(out, heads), positions });
}
