/** Figures as people read them. */

export const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)} %`;
export const count = (n: number) => n.toLocaleString("en-US");
export const loss = (value: number) => value.toFixed(4);

/** "12 s", "3 min 05 s", "1 h 12 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** "24 Nov, 19:12" */
export function when(time: number): string {
  return new Date(time).toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** "71.4 k", "7.19 M", "124 M" */
export function compact(n: number): string {
  if (n < 1e4) return count(n);
  const [value, unit] = n < 1e6 ? [n / 1e3, "k"] : n < 1e9 ? [n / 1e6, "M"] : [n / 1e9, "G"];
  return `${value.toPrecision(3)} ${unit}`;
}
