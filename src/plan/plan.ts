/**
 * A plan: the ordered dispatches of a step as data, with the memory they need. It is built once for a model, a mode and a
 * capacity, prepared once by a backend, and replayed for every batch.
 */
import type { Dispatch, StepValues } from "../ops/kernel.ts";
import { showShape, type Tensor } from "../tensor.ts";
import { type MemoryPlan, showMemory } from "./memory.ts";

/**
 * zero: gradients to 0; forward: logits and loss; backward: gradients; update: norm, clipping and AdamW. Of a decoder:
 * prefill: tokens into the cache; next: logits behind them; score: losses of all of them; decode: one token a sequence.
 */
export type SegmentName = "zero" | "forward" | "backward" | "update" | "prefill" | "next" | "score" | "decode";

export interface Segment {
  name: SegmentName;
  /** Tensors that are filled with zeros before the segment's dispatches. */
  clears: Tensor[];
  dispatches: Dispatch[];
}

/** What a backend prepares and replays. */
export interface Program {
  segments: readonly Segment[];
  memory: MemoryPlan;
}

/** The scalars of a dispatch by name, as numbers: those of this step where they change. */
export function resolveDims({ kernel, scalars }: Dispatch, values: StepValues): Record<string, number> {
  const numbers = scalars.map((scalar) => (typeof scalar === "number" ? scalar : values[scalar]));
  return Object.fromEntries(Object.keys(kernel.dims).map((name, i) => [name, numbers[i]!]));
}

/** The plan as a table: every dispatch with its tensors, their shapes and bytes, then the memory by kind. */
export function printProgram({ segments, memory }: Program): string {
  const lines: string[] = [];
  let number = 0;
  for (const segment of segments) {
    lines.push(`${segment.name}: ${segment.dispatches.length} dispatches`);
    for (const tensor of segment.clears) lines.push(`      clear  ${tensor.name} ${showShape(tensor.shape)}`);
    for (const { kernel, tensors, access, scalars } of segment.dispatches) {
      const mark = { write: ">", update: "+", read: "<" };
      const bound = tensors.map(
        (t, i) =>
          `${mark[access[i]!]}${t.name}${showShape(t.shape)}${t.dtype === "f16" ? "f16" : ""}@${memory.place.get(t.root)}`,
      );
      const dims = Object.keys(kernel.dims).map((name, i) => `${name}=${scalars[i]}`);
      lines.push(`${String(number++).padStart(5)}  ${kernel.name.padEnd(30)} ${bound.join(" ")}  ${dims.join(" ")}`);
    }
  }
  lines.push("", "> writes, + updates, < reads; @ buffer", "", "buffers");
  memory.buffers.forEach(({ label, role, bytes }, i) => {
    lines.push(`${String(i).padStart(5)}  ${role.padEnd(11)}${String(bytes).padStart(12)} bytes  ${label}`);
  });
  lines.push("", showMemory(memory));
  return `${lines.join("\n")}\n`;
}
