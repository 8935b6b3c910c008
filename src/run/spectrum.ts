/**
 * The size of s B A, without the product: B^T B and A A^T are [r, r], and ||B A||^2 = trace(B^T B A A^T) (Frobenius).
 * The principal components of a few rows, by eigenvalues. All in double precision.
 */

/** The factors of an adapter: B [out, r], A [r, in], and the factor of their product. */
export interface Factors {
  A: Float32Array;
  B: Float32Array;
  r: number;
  scale: number;
}

/** ||s B A||, Frobenius. */
export function productNorm(factors: Factors): number {
  const [gramA, gramB] = grams(factors);
  return (
    factors.scale *
    Math.sqrt(
      Math.max(
        0,
        gramA.reduce((sum, a, i) => sum + a * gramB[i]!, 0),
      ),
    )
  );
}

/** A A^T and B^T B, both [r, r]. */
function grams({ A, B, r }: Factors): [Float64Array, Float64Array] {
  const columns = A.length / r;
  return [gram(r, columns, (k, i) => A[k * columns + i]!), gram(r, B.length / r, (k, i) => B[i * r + k]!)];
}

function gram(r: number, length: number, at: (k: number, i: number) => number): Float64Array {
  const out = new Float64Array(r * r);
  for (let k = 0; k < r; k++)
    for (let l = k; l < r; l++) {
      let sum = 0;
      for (let i = 0; i < length; i++) sum += at(k, i) * at(l, i);
      out[k * r + l] = sum;
      out[l * r + k] = sum;
    }
  return out;
}

/**
 * The first two principal components of rows: the place of each on them, and the shares of the variance that they
 * have. By way of the [n, n] products of n rows, which are few.
 */
export function principalPlane(rows: readonly Float32Array[]): {
  places: [number, number][];
  shares: [number, number];
} {
  const [n, width] = [rows.length, rows[0]?.length ?? 0];
  const mean = Float64Array.from({ length: width }, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / n);
  const { values, vectors } = eigen(
    gram(n, width, (k, i) => rows[k]![i]! - mean[i]!),
    n,
  );
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
  const all = values.reduce((sum, value) => sum + value, 0);
  const root = (at: number) => Math.sqrt(Math.max(0, values[order[at]!] ?? 0));
  const share = (at: number) => (all > 0 ? root(at) ** 2 / all : 0);
  const place = (row: number, at: number) => root(at) * (vectors[row * n + order[at]!] ?? 0);
  return { places: rows.map((_, row) => [place(row, 0), place(row, 1)]), shares: [share(0), share(1)] };
}

/** Sweeps converge quadratically: matrices of any size here take fewer than ten. */
const MOST_SWEEPS = 50;

/**
 * Eigenvalues, in no order, and eigenvectors, as columns, of a symmetric [n, n] matrix: Jacobi's rotations, row by row
 * (Golub and Van Loan, Matrix Computations, section 8.5).
 */
export function eigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const M = matrix.slice();
  const V = new Float64Array(n * n);
  for (let i = 0; i < n; i++) V[i * n + i] = 1;
  const size = M.reduce((sum, x) => sum + x * x, 0);
  for (let sweep = 0; sweep < MOST_SWEEPS && offDiagonal(M, n) > 1e-30 * size; sweep++)
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(M, V, n, p, q);
  return { values: Float64Array.from({ length: n }, (_, i) => M[i * n + i]!), vectors: V };
}

/** The sum of the squares off the diagonal. */
function offDiagonal(M: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i !== j) sum += M[i * n + j]! ** 2;
  return sum;
}

/** Makes M[p, q] zero by a rotation of rows and columns p and q. */
function rotate(M: Float64Array, V: Float64Array, n: number, p: number, q: number): void {
  const off = M[p * n + q]!;
  if (off === 0) return;
  const theta = (M[q * n + q]! - M[p * n + p]!) / (2 * off);
  // The smaller of the two angles.
  const tan = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const cos = 1 / Math.hypot(tan, 1);
  const sin = tan * cos;
  const turn = (X: Float64Array, first: number, second: number) => {
    const [a, b] = [X[first]!, X[second]!];
    X[first] = cos * a - sin * b;
    X[second] = sin * a + cos * b;
  };
  for (let i = 0; i < n; i++) turn(M, i * n + p, i * n + q);
  for (let i = 0; i < n; i++) turn(M, p * n + i, q * n + i);
  for (let i = 0; i < n; i++) turn(V, i * n + p, i * n + q);
}
