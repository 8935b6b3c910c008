/** The exponential moving average of some values, in which the past has this weight. */
export function smoothed([first, ...more]: readonly number[], weight: number): number[] {
  if (first === undefined) return [];
  let mean = first;
  return [
    first,
    ...more.map((value) => {
      mean += (1 - weight) * (value - mean);
      return mean;
    }),
  ];
}
