/** Prints a plan: equal text, equal bits. The oracle of a change to plans. */

import { formatShape } from "../../src/core/tensor.ts";
import { MEMORY_NAMES } from "../../src/plan/check-memory.ts";
import { formatBytes, memoryTotals } from "../../src/plan/memory.ts";
import type { MemoryPlan, Program } from "../../src/plan/plan.ts";

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
