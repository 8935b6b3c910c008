/**
 * The size of s B A, without the product: B^T B and A A^T are [r, r], and ||B A||^2 = trace(B^T B A A^T) (Frobenius).
 * In double precision.
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
