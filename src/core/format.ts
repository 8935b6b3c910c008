/** Numbers, sizes, times and lists for people, in the terminal, the page and reports. */

/** With a no-break space, as in "94.5 %". */
export const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;

/** Writes numbers with so many decimal places. */
export const digits = (places: number) => (value: number) => value.toFixed(places);

/** "1,355" */
export const formatCount = (n: number) => n.toLocaleString("en-US");

/** A cross-entropy: "0.2345" */
export const formatLoss = (value: number) => value.toFixed(4);

/** "58.23", "312.4", "1,355", also of differences. */
export const formatPerplexity = (value: number) =>
  Math.abs(value) < 1000 ? value.toFixed(Math.abs(value) < 100 ? 2 : 1) : formatCount(Math.round(value));

/** A score, or an error of one, with three significant digits or more: "3.21", "0.0457", "1905" */
export const formatScore = (value: number) => String(Number(value.toPrecision(Math.abs(value) >= 100 ? 5 : 3)));

/** "71.4 k", "7.19 M", "124 M" */
export function formatCompact(n: number): string {
  if (n < 1e4) return formatCount(n);
  const [value, unit] = n < 1e6 ? [n / 1e3, "k"] : n < 1e9 ? [n / 1e6, "M"] : [n / 1e9, "G"];
  return `${value.toPrecision(3)} ${unit}`;
}

/** "a, b and c" */
export function joinWords(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** A share of a whole in percent, with two significant digits if it is small: "1.02 %", "0.0036 %". */
export function formatShare(share: number): string {
  const percent = 100 * share;
  return `${percent === 0 || percent >= 1 ? percent.toFixed(2) : Number(percent.toPrecision(2))} %`;
}

/** "12 s", "3 min 05 s", "1 h 12 min". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

export const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
