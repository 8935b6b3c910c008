/** The memory of a plan, and why it does not fit, in words. Imported on demand where plans mostly fit. */
import { DeviceError } from "../core/errors.ts";
import type { Role } from "../core/tensor.ts";
import { formatBytes, type MemoryLimits, memoryTotals, SMALLER_BATCH } from "./memory.ts";
import type { MemoryPlan } from "./plan.ts";

/** The kinds of memory, for people. */
export const MEMORY_NAMES: Record<Role, string> = {
  weight: "frozen weights",
  trained: "trained parameters",
  gradient: "gradients",
  moment: "optimizer state",
  input: "batch",
  activation: "activations",
  output: "results",
  cache: "keys and values",
  table: "tables",
};

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

/** Hints for the kinds whose bytes grow with the batch; the others grow with the model. */
const HINTS: Partial<Record<Role, string>> = {
  input: SMALLER_BATCH,
  activation: SMALLER_BATCH,
  output: SMALLER_BATCH,
  cache: "generate fewer texts at a time",
};

/** Throws DeviceError, with the bytes of each kind, if the plan exceeds the limits. */
export function checkMemory(plan: MemoryPlan, limits: MemoryLimits): void {
  for (const { label, role, bytes } of plan.buffers) {
    const limit = Math.min(limits.maxBinding, limits.maxBuffer);
    if (bytes > limit)
      throw new DeviceError("buffer-too-large", `${MEMORY_NAMES[role]}: ${label} is too large for the device`, {
        expected: `at most ${formatBytes(limit)} (${limit} bytes) in one binding`,
        found: `${formatBytes(bytes)}: ${bytes - limit} bytes too many`,
        hint: HINTS[role] ?? "choose a smaller model",
      });
  }
  const { total, byRole } = memoryTotals(plan);
  if (limits.total === undefined || total <= limits.total) return;
  const kinds = [...byRole]
    .sort((a, b) => b[1] - a[1])
    .map(([role, bytes]) => `${MEMORY_NAMES[role]} ${formatBytes(bytes)}`)
    .join(", ");
  const [largest] = [...byRole].sort((a, b) => b[1] - a[1])[0]!;
  throw new DeviceError("out-of-memory", "the plan does not fit into memory", {
    expected: `at most ${formatBytes(limits.total)} (${limits.total} bytes)`,
    found: `${formatBytes(total)}: ${kinds}; ${total - limits.total} bytes are missing, most of them for ${MEMORY_NAMES[largest]}`,
    hint: HINTS[largest] ?? "choose a smaller model, or mode lora, which keeps no gradients of frozen weights",
  });
}
