/** Token and position embedding. The token table may be split into pieces of rows, with a dispatch each. */
import type { Tensor, TensorPiece } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, typeCode } from "./kernel.ts";

export const embeddingForwardKernel = defineKernel(
  "embedding_forward",
  { out: "update", wte: "read u32", wpe: "read? u32", ids: "read u32", bounds: "read vec2u" },
  {
    tokens: "u32",
    cols: "u32",
    first: "u32",
    count: "u32",
    shift: "u32",
    wte_type: "override",
    wpe_type: "override",
  },
  ({ tokens, cols }) => [ceilDiv(cols, 64), tokens, 1],
  "tokens cols, count cols, positions cols, tokens, tokens 2",
  { inBlocks: "wte", work: null },
);

export const embeddingBackwardKernel = defineKernel(
  "embedding_backward",
  { dwte: "update", dout: "read", ids: "read u32", sorted: "read u32", groups: "read u32" },
  { unique: "u32", cols: "u32", first: "u32", count: "u32" },
  ({ unique, cols }) => [ceilDiv(cols, 64), unique, 1],
  "count cols, tokens cols, tokens, tokens, unique+1",
  { work: null },
);

export const embeddingPositionBackwardKernel = defineKernel(
  "embedding_position_backward",
  { dwpe: "update", dout: "read", starts: "read u32" },
  { longest: "u32", cols: "u32", sequences: "u32" },
  ({ longest, cols }) => [ceilDiv(cols, 64), longest, 1],
  "positions cols, tokens cols, sequences+1",
  { work: null },
);

/** out [N, C] = wte[ids] + wpe[position in the sequence + shift], or wte[ids] where `wpe` is null. */
export function embeddingForward(
  out: Tensor,
  wte: TensorPiece[],
  wpe: Tensor | null,
  ids: Tensor,
  bounds: Tensor,
  shift = 0,
): Dispatch[] {
  const cols = out.shape[1]!;
  return wte.map(({ tensor, first }) =>
    dispatch(
      embeddingForwardKernel,
      { out, wte: tensor, wpe, ids, bounds },
      {
        tokens: "tokens",
        cols,
        first,
        count: tensor.shape[0]!,
        shift,
        wte_type: typeCode(tensor),
        wpe_type: wpe ? typeCode(wpe) : 0,
      },
    ),
  );
}

/** dwte [V, C] += the rows of dout [N, C] by id. `sorted` and `groups` order the tokens by id. */
export function embeddingBackward(
  dwte: TensorPiece[],
  dout: Tensor,
  ids: Tensor,
  sorted: Tensor,
  groups: Tensor,
): Dispatch[] {
  const cols = dout.shape[1]!;
  return dwte.map(({ tensor, first }) =>
    dispatch(
      embeddingBackwardKernel,
      { dwte: tensor, dout, ids, sorted, groups },
      { unique: "unique", cols, first, count: tensor.shape[0]! },
    ),
  );
}

/** dwpe [positions, C] += the rows of dout [N, C] by position. */
export function embeddingPositionBackward(dwpe: Tensor, dout: Tensor, starts: Tensor): Dispatch {
  return dispatch(
    embeddingPositionBackwardKernel,
    { dwpe, dout, starts },
    { longest: "longest", cols: dout.shape[1]!, sequences: "sequences" },
  );
}
