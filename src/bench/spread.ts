/** Statistics of repeated measurements. The best is least affected by other load on the machine. */
export interface Spread {
  median: number;
  /** Quartiles. */
  low: number;
  high: number;
  best: number;
}

export function measureSpread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return below + (above - below) * (place - Math.floor(place));
  };
  return { median: at(0.5), low: at(0.25), high: at(0.75), best: sorted[0]! };
}
