/** The matrix product in f64 by plain loops, with the arguments of BLAS gemm: the reference of matmul and of LoRA. */
export interface Gemm {
  out: Float64Array;
  a: Float64Array;
  b: Float64Array;
  m: number;
  n: number;
  k: number;
  transA?: boolean;
  transB?: boolean;
  lda?: number;
  ldc?: number;
  outOffset?: number;
  aOffset?: number;
  alpha?: number;
  beta?: number;
  bias?: Float64Array;
}

/** out = beta * out + bias + alpha * op(a) op(b), in place; returns `out`. */
export function gemm(args: Gemm): Float64Array {
  const { out, a, b, m, n, k, transA = false, transB = false, alpha = 1, beta = 0, bias } = args;
  const { aOffset = 0, outOffset = 0 } = args;
  const { lda = transA ? m : k, ldc = n } = args;
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) {
        const x = a[aOffset + (transA ? l * lda + i : i * lda + l)]!;
        const y = b[transB ? j * k + l : l * n + j]!;
        sum += x * y;
      }
      const at = outOffset + i * ldc + j;
      out[at] = alpha * sum + (bias?.[j] ?? 0) + (beta === 0 ? 0 : beta * out[at]!);
    }
  return out;
}
