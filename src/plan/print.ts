import { formatShape, type Role } from "../tensor.ts";
import { MEMORY_NAMES } from "./check-memory.ts";
import { formatBytes, memoryTotals } from "./memory.ts";
import type { MemoryPlan, Program } from "./plan.ts";

/** The plan as a table: every dispatch with its tensors, their shapes and bytes, then the memory by kind. */
export function printProgram({ segments, memory }: Program): string {
  const lines: string[] = [];
  let number = 0;
  for (const segment of segments) {
    lines.push(`${segment.name}: ${segment.dispatches.length} dispatches`);
    for (const tensor of segment.clears) lines.push(`      clear  ${tensor.name} ${formatShape(tensor.shape)}`);
    for (const { kernel, tensors, access, scalars } of segment.dispatches) {
      const mark = { write: ">", update: "+", read: "<" };
      const bound = tensors.map((t, i) => {
        if (!t) return "-";
        const dtype = t.dtype === "f16" || t.isInBlocks ? t.dtype : "";
        return `${mark[access[i]!]}${t.name}${formatShape(t.shape)}${dtype}@${memory.bufferIndex.get(t.root)}`;
      });
      const dims = Object.keys(kernel.dims).map((name, i) => `${name}=${scalars[i]}`);
      lines.push(`${String(number++).padStart(5)}  ${kernel.name.padEnd(30)} ${bound.join(" ")}  ${dims.join(" ")}`);
    }
  }
  lines.push("", "> writes, + updates, < reads, - absent; @ buffer", "", "buffers");
  memory.buffers.forEach(({ label, role, bytes }, i) => {
    lines.push(`${String(i).padStart(5)}  ${role.padEnd(11)}${String(bytes).padStart(12)} bytes  ${label}`);
  });
  lines.push("", printMemory(memory));
  return `${lines.join("\n")}\n`;
}

/** A line for each kind of memory, largest first, and the sum. */
function printMemory(plan: MemoryPlan): string {
  const { total, byRole } = memoryTotals(plan);
  const lines = [...byRole].sort((a, b) => b[1] - a[1]).map(([role, bytes]) => [MEMORY_NAMES[role], bytes] as const);
  return [...lines, ["in all", total] as const]
    .map(([name, bytes]) => `${name.padEnd(20)}${formatBytes(bytes).padStart(12)}${String(bytes).padStart(16)} bytes`)
    .join("\n");
}

/** `showLargest` does not name kinds of memory below this share of the sum. */
const SMALL = 0.05;

/** "46.9 MB (frozen weights 29.0 MB, activations 16.6 MB, all others 1.2 MB)". */
export function printLargest(byRole: Partial<Record<Role, number>>, total: number): string {
  const all = Object.entries(byRole) as [Role, number][];
  const large = all.filter(([, bytes]) => bytes >= SMALL * total).sort((a, b) => b[1] - a[1]);
  const others = large.reduce((rest, [, bytes]) => rest - bytes, total);
  const parts = large.map(([role, bytes]) => `${MEMORY_NAMES[role]} ${formatBytes(bytes)}`);
  return `${formatBytes(total)} (${[...parts, ...(others > 0 ? [`all others ${formatBytes(others)}`] : [])].join(", ")})`;
}
