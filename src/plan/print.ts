import { showShape } from "../tensor.ts";
import { showMemory } from "./memory.ts";
import type { Program } from "./plan.ts";

/** The plan as a table: every dispatch with its tensors, their shapes and bytes, then the memory by kind. */
export function printProgram({ segments, memory }: Program): string {
  const lines: string[] = [];
  let number = 0;
  for (const segment of segments) {
    lines.push(`${segment.name}: ${segment.dispatches.length} dispatches`);
    for (const tensor of segment.clears) lines.push(`      clear  ${tensor.name} ${showShape(tensor.shape)}`);
    for (const { kernel, tensors, access, scalars } of segment.dispatches) {
      const mark = { write: ">", update: "+", read: "<", none: "-" };
      const bound = tensors.map(
        (t, i) =>
          `${mark[access[i]!]}${t.name}${showShape(t.shape)}${t.dtype === "f16" || t.isInBlocks ? t.dtype : ""}@${memory.bufferIndex.get(t.root)}`,
      );
      const dims = Object.keys(kernel.dims).map((name, i) => `${name}=${scalars[i]}`);
      lines.push(`${String(number++).padStart(5)}  ${kernel.name.padEnd(30)} ${bound.join(" ")}  ${dims.join(" ")}`);
    }
  }
  lines.push("", "> writes, + updates, < reads, - unused; @ buffer", "", "buffers");
  memory.buffers.forEach(({ label, role, bytes }, i) => {
    lines.push(`${String(i).padStart(5)}  ${role.padEnd(11)}${String(bytes).padStart(12)} bytes  ${label}`);
  });
  lines.push("", showMemory(memory));
  return `${lines.join("\n")}\n`;
}
