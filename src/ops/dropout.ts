/**
 * Dropout of an adapter's input (Srivastava et al. 2014): an element is kept with probability 1 - p and multiplied by
 * 1 / (1 - p), or it is 0. A mask is never stored. It is a function of the seed, the matrix, the row's numbers and the
 * column: Threefry-2x32 with 20 rounds (Salmon et al. 2011), a counter-based generator, which every backend computes to
 * the bit. It does not depend on where a row lies in its batch.
 */
import { expectShape, type Tensor } from "../core/tensor.ts";
import { ACTIVATION } from "./activation.ts";
import type { AdapterGroup } from "./adapters.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, flatGrid, type Scalar } from "./kernel.ts";
import type { Activated } from "./linear.ts";

/**
 * The key of the generator is `seed` and `matrix`. Its counter is a row's two numbers, and four columns at a time: a
 * call gives 16 bits for each of them, which keep the element unless they are below `threshold`.
 */
const MASK = { seed: "u32", matrix: "u32", threshold: "u32", scale: "f32" } as const;

/** The masks of a matrix. */
export type Mask = Record<keyof typeof MASK, number>;

/** The masks of a matrix, which drop a share `p` of the elements, to within 2^-17. */
export function dropoutMask(p: number, seed: number, matrix: number): Mask {
  const threshold = Math.min(Math.round(p * 65536), 65535);
  return { seed, matrix, threshold, scale: 65536 / (65536 - threshold) };
}

export const dropoutForwardKernel = defineKernel(
  "dropout_forward",
  { out: "write vec4f", inp: "read vec4f", draws: "read vec2u" },
  { rows: "u32", cols: "u32", ...MASK },
  ({ rows, cols }) => flatGrid(rows * (cols / 4), 64),
  "rows cols, rows cols, rows 2",
  { preludes: ["threefry", "dropout"] },
);

/**
 * out [rows, cols] = the mask of inp. draws [rows, 2]: the number of the row's sequence among all that the run draws,
 * from 1 on, or 0 where nothing is dropped; and the row's position in its sequence.
 */
export function dropoutForward(out: Tensor, inp: Tensor, draws: Tensor, mask: Mask, rows: Scalar): Dispatch {
  return dispatch(dropoutForwardKernel, { out, inp, draws }, { rows, cols: inp.shape[1]!, ...mask });
}

export const dropoutBackwardKernel = defineKernel(
  "dropout_backward",
  {
    dx: "update vec4f",
    act: "write? vec4f",
    ddown: "read",
    a: "read vec4f",
    inp: "read? vec4f",
    draws: "read vec2u",
  },
  {
    rows: "u32",
    cols: "u32",
    // Column j of `ddown` belongs to row j % r of A at (j / r) * stride.
    count: "u32",
    r: "u32",
    stride: "u32",
    ...MASK,
    activation: "override",
  },
  ({ rows, cols }) => [ceilDiv(cols, 256), ceilDiv(rows, 4), 1],
  undefined,
  {
    preludes: ["activation", "threefry", "dropout"],
    work: ({ rows, cols, count, r }, { tensors: [, act] }) => {
      // dx twice, and an activation's input and output; the draws.
      const moved = rows * (cols * (act ? 4 : 2) + count * r + 2) + cols * count * r;
      return { flops: 2 * rows * cols * count * r, bytes: 4 * moved };
    },
  },
);

export interface DropoutBackward {
  /** [rows, in]: the gradient of the matrix's input without the adapters. */
  dx: Tensor;
  /** [rows, count r], with the group that it belongs to. */
  ddown: Tensor;
  group: AdapterGroup;
  draws: Tensor;
  mask: Mask;
  rows: Scalar;
  /** As in `LinearBackward`. */
  activated?: Activated | undefined;
}

/** dx += the mask of ddown A. Where x = activation(inp), dx is then the gradient of inp, and act = activation(inp). */
export function dropoutBackward({ dx, ddown, group, draws, mask, rows, activated }: DropoutBackward): Dispatch {
  const { count, r, stride, input: cols, A } = group;
  const room = dx.shape[0]!;
  for (const [name, tensor, width] of [
    ["dx", dx, cols],
    ["ddown", ddown, count * r],
    ["draws", draws, 2],
    ["act", activated?.act, cols],
    ["inp", activated?.inp, cols],
  ] as const)
    if (tensor) expectShape(`dropout_backward: ${name} (${tensor.name})`, tensor.shape, [room, width]);
  const { act, inp, by = "gelu_new" } = activated ?? {};
  return dispatch(
    dropoutBackwardKernel,
    { dx, act, ddown, a: A, inp, draws },
    { rows, cols, count, r, stride, ...mask, activation: ACTIVATION[by] },
  );
}
