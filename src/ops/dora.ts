/**
 * DoRA (Liu et al. 2024): the outputs of a matrix with its adapters, W' = W + scale B A, are scaled to a magnitude that
 * is trained: y = (magnitude / norm) * x W' + bias, norm the lengths of the columns of W'. W' is never formed. In the
 * backward pass the norm is a constant (section 4.3), as in PEFT.
 */
import { expectShape, type Tensor } from "../tensor.ts";
import { type AdapterGroup, expectFours } from "./adapters.ts";
import { ceilDiv, type Dispatch, defineKernel, dispatch, flatGrid, type Scalar, typeCode } from "./kernel.ts";

export const doraNormKernel = defineKernel(
  "dora_norm",
  { norm: "write", w: "read u32", A: "read vec4f", B: "read" },
  {
    inputs: "u32",
    outputs: "u32",
    // The outputs whose norms are written.
    first: "u32",
    end: "u32",
    // The adapters, as in `AdapterGroup`.
    count: "u32",
    r: "u32",
    stride: "u32",
    column: "u32",
    step: "u32",
    width: "u32",
    skew: "u32",
    scale: "f32",
    w_type: "override",
  },
  ({ first, end }) => [ceilDiv(end - first, 16), 1, 1],
  "outputs, inputs outputs, a_size, b_size",
  { inBlocks: "w", inPanels: () => true },
);

export const doraForwardKernel = defineKernel(
  "dora_forward",
  {
    out: "write vec4f",
    z: "read vec4f",
    magnitude: "read vec4f",
    norm: "read vec4f",
    bias: "read? vec4f",
    residual: "read? vec4f",
  },
  { rows: "u32", cols: "u32" },
  ({ rows, cols }) => flatGrid((rows * cols) / 4, 256),
  "rows cols, rows cols, cols, cols, cols, rows cols",
);

export const doraBackwardKernel = defineKernel(
  "dora_backward",
  { dz: "write", dmagnitude: "update", dy: "read", z: "read", magnitude: "read", norm: "read" },
  { rows: "u32", cols: "u32" },
  ({ cols }) => [ceilDiv(cols, 16), 1, 1],
  "rows cols, cols, rows cols, rows cols, cols, cols",
  { preludes: ["column_sum"] },
);

/**
 * norm [out] = the lengths of the columns of W [in, out] with its adapters, of any type. The groups have their columns
 * in ascending order; each dispatch writes the norms from its first column to the next group's.
 */
export function doraNorm(norm: Tensor, W: Tensor, groups: readonly AdapterGroup[]): Dispatch[] {
  const [inputs, outputs] = W.shape as [number, number];
  return groups.map(({ A, B, count, r, stride, column, step, width, skew, scale }, i) => {
    for (const [factor, size] of [
      [A, inputs],
      [B, count > 1 ? width : width + skew],
    ] as const)
      expectShape(`dora_norm: ${factor.name}`, factor.shape, [(count - 1) * stride + r * size]);
    expectFours("dora_norm", inputs, outputs, column, step, width, skew, stride);
    return dispatch(
      doraNormKernel,
      { norm, w: W, A, B },
      {
        ...{ inputs, outputs, first: i === 0 ? 0 : column, end: groups[i + 1]?.column ?? outputs },
        ...{ count, r, stride, column, step, width, skew, scale, w_type: typeCode(W) },
      },
    );
  });
}

interface DoraForward {
  /** [rows, out]. */
  out: Tensor;
  /** [rows, out]: x W' without the bias. */
  z: Tensor;
  /** [out]. */
  magnitude: Tensor;
  norm: Tensor;
  bias?: Tensor | undefined;
  rows: Scalar;
  /** [rows, out], added to the result. */
  residual?: Tensor | undefined;
}

/** out = (magnitude / norm) * z [+ bias] [+ residual]. */
export function doraForward({ rows, ...tensors }: DoraForward): Dispatch {
  const cols = tensors.norm.size;
  expectFours("dora_forward", cols);
  return dispatch(doraForwardKernel, tensors, { rows, cols });
}

/** dz [rows, out] = (magnitude / norm) * dy; dmagnitude [out] += the sums over the rows of dy * z, divided by norm. */
export function doraBackward(
  dz: Tensor,
  dmagnitude: Tensor,
  dy: Tensor,
  dora: Pick<DoraForward, "z" | "magnitude" | "norm">,
  rows: Scalar,
): Dispatch {
  const { z, magnitude, norm } = dora;
  expectFours("dora_backward", norm.size);
  return dispatch(doraBackwardKernel, { dz, dmagnitude, dy, z, magnitude, norm }, { rows, cols: norm.size });
}
