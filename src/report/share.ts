/** A share of a whole in percent, with two significant digits if it is small: "1.02 %", "0.0036 %". */
export function showShare(share: number): string {
  const percent = 100 * share;
  return `${percent === 0 || percent >= 1 ? percent.toFixed(2) : Number(percent.toPrecision(2))} %`;
}
