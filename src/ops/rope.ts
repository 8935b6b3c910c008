/**
 * Rotary position embedding (Su et al. 2021): each head of the queries and keys is rotated by angles that grow with the
 * row's position, number i of its first half together with number i of its second half, as in GPT-NeoX and in
 * transformers' Llama; of GPT-NeoX's heads only the first numbers, as if they were the head. The angles' cosines and
 * sines come from a table of the host (model/rope-table.ts), since those of a GPU are not exact enough.
 */
import { ShapeError } from "../core/errors.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch } from "./kernel.ts";

export const ropeKernel = defineKernel(
  "rope",
  { x: "update", table: "read", bounds: "read vec2u" },
  { tokens: "u32", width: "u32", heads: "u32", head_size: "u32", rotated: "u32", shift: "u32", sign: "f32" },
  ({ tokens, heads, rotated }) => [ceilDiv((heads * rotated) / 2, 64), tokens, 1],
  "room width, positions rotated, tokens 2",
  { work: null },
);

/** The heads that are rotated, queries' and keys', and the numbers of each. */
export interface RotatedHeads {
  heads: number;
  headSize: number;
  /** How many numbers of a head are rotated, from the first on; absent: all. */
  rotated?: number;
}

function rope(
  x: Tensor,
  table: Tensor,
  bounds: Tensor,
  { heads, headSize, rotated = headSize }: RotatedHeads,
  shift: number,
  sign: 1 | -1,
): Dispatch {
  const width = x.shape[1]!;
  if (heads * headSize > width || rotated > headSize || rotated % 4 !== 0)
    throw new ShapeError("wrong-shape", `rope: x (${x.name}) has other heads`, {
      expected: `${heads} heads of ${headSize} numbers; of each ${rotated} are rotated, a multiple of 4`,
      found: formatShape(x.shape),
    });
  const dims = { tokens: "tokens", width, heads, head_size: headSize, rotated, shift, sign } as const;
  return dispatch(ropeKernel, { x, table, bounds }, dims);
}

/**
 * Rotates the first numbers of each head of x [room, W], queries and then keys, in place; others, and the values behind
 * the heads, stay as they are. Row n is rotated for position n - bounds[n].start + shift: table [positions, rotated]
 * has the cosines of that position's angles, then their sines.
 */
export function ropeForward(x: Tensor, table: Tensor, bounds: Tensor, heads: RotatedHeads, shift = 0): Dispatch {
  return rope(x, table, bounds, heads, shift, 1);
}

/** The gradient of `ropeForward`, in place: the rotations back. */
export function ropeBackward(dx: Tensor, table: Tensor, bounds: Tensor, heads: RotatedHeads, shift = 0): Dispatch {
  return rope(dx, table, bounds, heads, shift, -1);
}
