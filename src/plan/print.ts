import type { Role } from "../tensor.ts";
import { MEMORY_NAMES } from "./check-memory.ts";
import { formatBytes } from "./memory.ts";

/** `printLargest` does not name kinds of memory below this share of the sum. */
const SMALL = 0.05;

/** "46.9 MB (frozen weights 29.0 MB, activations 16.6 MB, all others 1.2 MB)". */
export function printLargest(byRole: Partial<Record<Role, number>>, total: number): string {
  const all = Object.entries(byRole) as [Role, number][];
  const large = all.filter(([, bytes]) => bytes >= SMALL * total).sort((a, b) => b[1] - a[1]);
  const others = large.reduce((rest, [, bytes]) => rest - bytes, total);
  const parts = large.map(([role, bytes]) => `${MEMORY_NAMES[role]} ${formatBytes(bytes)}`);
  return `${formatBytes(total)} (${[...parts, ...(others > 0 ? [`all others ${formatBytes(others)}`] : [])].join(", ")})`;
}
