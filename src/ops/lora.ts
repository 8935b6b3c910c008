/**
 * LoRA beside a weight: y += scale * (x A^T) B^T, with A [r, in] and B [out, r]. W + B A is never formed. The op consists of matrix products and has no kernel. Formulas: Hu et al. 2021, section 4.1.
 */
import type { Tensor } from "../tensor.ts";
import type { Dispatch, Scalar } from "./kernel.ts";
import { matmul } from "./matmul.ts";

/** down [rows, r] = x A^T. */
export function loraDown(down: Tensor, x: Tensor, A: Tensor, rows: Scalar): Dispatch {
  const [r, input] = A.shape as [number, number];
  return matmul({ out: down, a: x, b: A, transB: true, m: rows, n: r, k: input });
}

/** The columns that an adapter writes: column .. column + out of y [rows, width] (q, k and v share a matrix). */
export interface Columns {
  width: number;
  column: number;
}

/** y[:, column .. column + out] += scale * down B^T. */
export function loraUp(y: Tensor, down: Tensor, B: Tensor, rows: Scalar, scale: number, at: Columns): Dispatch {
  const [out, r] = B.shape as [number, number];
  return matmul({
    out: y,
    a: down,
    b: B,
    transB: true,
    m: rows,
    n: out,
    k: r,
    ldc: at.width,
    outOffset: at.column,
    alpha: scale,
    beta: 1,
  });
}

/** dB [out, r] += scale * dy^T down; ddown [rows, r] = beta * ddown + scale * dy B, with dy in its columns. */
export function loraUpBackward(
  dB: Tensor,
  ddown: Tensor,
  dy: Tensor,
  down: Tensor,
  B: Tensor,
  rows: Scalar,
  scale: number,
  at: Columns,
  beta: 0 | 1 = 0,
): Dispatch[] {
  const [out, r] = B.shape as [number, number];
  const columns = { lda: at.width, aOffset: at.column, alpha: scale };
  return [
    matmul({ out: dB, a: dy, b: down, transA: true, m: out, n: r, k: rows, ...columns, beta: 1 }),
    matmul({ out: ddown, a: dy, b: B, m: rows, n: r, k: out, ...columns, beta }),
  ];
}

/** dA [r, in] += ddown^T x; dx [rows, in] += ddown A if an earlier parameter is trained (else dx is null). */
export function loraDownBackward(
  dA: Tensor,
  dx: Tensor | null,
  ddown: Tensor,
  x: Tensor,
  A: Tensor,
  rows: Scalar,
): Dispatch[] {
  const [r, input] = A.shape as [number, number];
  const list = [matmul({ out: dA, a: ddown, b: x, transA: true, m: r, n: input, k: rows, lda: r, beta: 1 })];
  if (dx) list.push(matmul({ out: dx, a: ddown, b: A, m: rows, n: input, k: r, beta: 1 }));
  return list;
}
