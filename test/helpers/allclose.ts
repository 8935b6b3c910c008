/** How far two arrays are apart. Comparisons are written so that NaN fails. */

/** Throws unless lengths are equal and |actual - expected| <= atol + rtol * |expected| for every element. */
export function assertAllClose(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol, rtol }: { atol: number; rtol: number },
): void {
  if (actual.length !== expected.length)
    throw new Error(`${name}: ${actual.length} elements, expected ${expected.length}`);
  let bad = 0;
  let first = -1;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const diff = Math.abs(actual[i]! - expected[i]!);
    if (diff <= atol + rtol * Math.abs(expected[i]!)) continue;
    if (first < 0) first = i;
    bad++;
    worst = Math.max(worst, diff);
  }
  if (bad > 0)
    throw new Error(
      `${name}: ${bad} of ${expected.length} elements differ, first at ${first}: ` +
        `${actual[first]} instead of ${expected[first]}; largest difference ${worst}`,
    );
}

/** ||actual - expected|| / ||expected||, 0 where both are zero; NaN or infinite where either is not finite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.NaN;
  let diff = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    diff += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return diff === 0 ? 0 : Math.sqrt(diff / norm);
}
