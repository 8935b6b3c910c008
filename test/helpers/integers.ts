/** The product with a weight in int16 as assembly/kernels/integers.ts defines it, bit for bit. */
import { MOST_CODE } from "../../src/core/blocks.ts";

/** Steps of the depth whose sum is exact. */
const DEPTH = 384;
const { fround } = Math;

/** A row of numbers as codes with a scale. */
function round(row: readonly number[]): { codes: number[]; scale: number } {
  const most = Math.max(...row.map(Math.abs));
  if (!(most < Infinity)) return { codes: row.map(() => 0), scale: Number.NaN };
  if (most < fround(1e-30)) return { codes: row.map(() => 0), scale: 0 };
  const inverse = fround(MOST_CODE / most);
  const nearest = (x: number) => {
    const down = Math.floor(x);
    return x - down === 0.5 ? down + (down & 1) : Math.round(x);
  };
  return { codes: row.map((x) => nearest(fround(x * inverse))), scale: fround(most / MOST_CODE) };
}

export interface IntegerProduct {
  /** [m, k]. */
  a: ArrayLike<number>;
  m: number;
  n: number;
  k: number;
  /** The stored weight: rows of `inputs` codes, and their scales. */
  words: Uint32Array;
  inputs: number;
  /** Whether its rows are the columns of the result, so that the depth is along them. */
  along: boolean;
  bias?: ArrayLike<number>;
  /** What the result is added to. */
  onto?: ArrayLike<number>;
}

/** a b + bias + onto, with every rounding to f32. */
export function integerProduct({ a, m, n, k, words, inputs, along, bias, onto }: IntegerProduct): Float64Array {
  const size = inputs * (along ? n : k);
  const codes = new Int16Array(words.buffer, 0, size);
  const scales = new Float32Array(words.buffer, 2 * size);
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let first = 0; first < k; first += DEPTH) {
      const depth = Array.from({ length: Math.min(DEPTH, k - first) }, (_, l) => first + l);
      const left = round(depth.map((l) => fround(a[i * k + l]! * (along ? 1 : scales[l]!))));
      const [start, step] = along ? [first, 1] : [first * inputs, inputs];
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0, at = start + j * (along ? inputs : 1); l < depth.length; l++, at += step)
          sum += left.codes[l]! * codes[at]!;
        const part = fround(fround(sum) * fround(left.scale * (along ? scales[j]! : 1)));
        const at = i * n + j;
        out[at] = first > 0 ? fround(out[at]! + part) : fround(fround(part + (bias?.[j] ?? 0)) + (onto?.[at] ?? 0));
      }
    }
  return out;
}
