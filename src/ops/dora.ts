/**
 * DoRA (Liu et al. 2024): the outputs of a matrix with its adapters, W' = W + scale B A, are scaled to a magnitude that
 * is trained: y = (magnitude / norm) * x W' + bias, norm the lengths of the columns of W'. W' is never formed. In the
 * backward pass the norm is a constant (section 4.3), as in PEFT. Columns without a magnitude are not scaled.
 */
import type { Columns } from "../core/names.ts";
import { expectShape, type Tensor } from "../core/tensor.ts";
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

/** Of columns first .. end so many, the first ones, are scaled by the magnitudes from `at` on. */
const RANGE = { first: "u32", end: "u32", width: "u32", at: "u32" } as const;

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
  { rows: "u32", cols: "u32", ...RANGE },
  ({ rows, first, end }) => flatGrid((rows * (end - first)) / 4, 256),
  "rows cols, rows cols, scaled, cols, cols, rows cols",
);

export const doraBackwardKernel = defineKernel(
  "dora_backward",
  { dz: "write", dmagnitude: "update", dy: "read", z: "read", magnitude: "read", norm: "read" },
  { rows: "u32", cols: "u32", ...RANGE },
  ({ first, end }) => [ceilDiv(end - first, 16), 1, 1],
  "rows cols, scaled, rows cols, rows cols, scaled, cols",
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
        inputs,
        outputs,
        first: i === 0 ? 0 : column,
        end: groups[i + 1]?.column ?? outputs,
        count,
        r,
        stride,
        column,
        step,
        width,
        skew,
        scale,
        w_type: typeCode(W),
      },
    );
  });
}

interface DoraForward {
  /** [rows, out]. */
  out: Tensor;
  /** [rows, out]: x W' without the bias. */
  z: Tensor;
  /** Of the columns that have one, side by side. */
  magnitude: Tensor;
  /** [out]. */
  norm: Tensor;
  /** Which columns those are, in ascending order. */
  columns: readonly Columns[];
  bias?: Tensor | undefined;
  rows: Scalar;
  /** [rows, out], added to the result. */
  residual?: Tensor | undefined;
}

/** The ranges of a matrix, each to the next one's first column; `doraNorm` has checked that they are fours. */
function listRanges(columns: readonly Columns[], cols: number) {
  const all = columns[0]!.first > 0 ? [{ first: 0, width: 0 }, ...columns] : columns;
  let next = 0;
  return all.map(({ first, width }, i) => {
    next += width;
    return { first, end: all[i + 1]?.first ?? cols, width, at: next - width };
  });
}

/** out = (magnitude / norm) * z [+ bias] [+ residual]. */
export function doraForward({ rows, columns, ...tensors }: DoraForward): Dispatch[] {
  const cols = tensors.norm.size;
  return listRanges(columns, cols).map((range) => dispatch(doraForwardKernel, tensors, { rows, cols, ...range }));
}

/** dz [rows, out] = (magnitude / norm) * dy; dmagnitude += the sums over the rows of dy * z, divided by norm. */
export function doraBackward(
  dz: Tensor,
  dmagnitude: Tensor,
  dy: Tensor,
  { columns, ...dora }: Pick<DoraForward, "z" | "magnitude" | "norm" | "columns">,
  rows: Scalar,
): Dispatch[] {
  const cols = dora.norm.size;
  return listRanges(columns, cols).map((range) =>
    dispatch(doraBackwardKernel, { dz, dmagnitude, dy, ...dora }, { rows, cols, ...range }),
  );
}
