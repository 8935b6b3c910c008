/**
 * Memory of a plan: its buffers, their sizes, and which tensor is in which. Activations whose lifetimes do not overlap
 * use the same buffer. The byte count is known before anything is allocated.
 */

import type { Role, Tensor } from "../core/tensor.ts";
import { boundTensors } from "../ops/kernel.ts";
import type { MemoryPlan, PlannedBuffer, Segment } from "./plan.ts";

export interface MemoryLimits {
  /** Largest part of a buffer that a kernel can see, in bytes. */
  maxBinding: number;
  /** Largest buffer, in bytes. */
  maxBuffer: number;
  /** Bytes that may be allocated in all; absent if unknown. */
  total?: number;
}

interface Life {
  tensor: Tensor;
  first: number;
  last: number;
}

/** First and last dispatch that touches each root tensor; a cleared tensor lives from the start of its segment. */
function lifetimes(segments: readonly Segment[]): Map<Tensor, Life> {
  const lives = new Map<Tensor, Life>();
  let at = 0;
  const touch = ({ root }: Tensor) => {
    const life = lives.get(root);
    if (life) life.last = at;
    else lives.set(root, { tensor: root, first: at, last: at });
  };
  for (const segment of segments) {
    segment.clears.forEach(touch);
    for (const dispatch of segment.dispatches) {
      for (const { tensor } of boundTensors(dispatch)) touch(tensor);
      at++;
    }
  }
  return lives;
}

/** Assigns activations to buffers, the largest first, each to the smallest buffer that is free during its lifetime. */
function reuseBuffers(lives: Life[]): { bytes: number; lives: Life[] }[] {
  const shared: { bytes: number; lives: Life[] }[] = [];
  for (const life of [...lives].sort((a, b) => b.tensor.bytes - a.tensor.bytes)) {
    const free = shared
      .filter((buffer) => buffer.lives.every((other) => life.last < other.first || other.last < life.first))
      .sort((a, b) => a.bytes - b.bytes)[0];
    if (free) free.lives.push(life);
    else shared.push({ bytes: life.tensor.bytes, lives: [life] });
  }
  return shared;
}

/** Assigns buffers to all tensors that the segments use, and to those in `extra`, which no dispatch uses. */
export function planMemory(segments: readonly Segment[], extra: readonly Tensor[] = []): MemoryPlan {
  const lives = lifetimes(segments);
  for (const { root } of extra) if (!lives.has(root)) lives.set(root, { tensor: root, first: 0, last: 0 });
  const buffers: PlannedBuffer[] = [];
  const place = new Map<Tensor, number>();
  const activations: Life[] = [];
  // The same jobs in each block are one table.
  const tables = new Map<string, number>();
  for (const life of lives.values()) {
    const { name, role, bytes, dtype, contents } = life.tensor;
    if (role === "activation") {
      activations.push(life);
      continue;
    }
    const jobs = contents && dtype === "u32" ? `${name} ${contents}` : null;
    const known = jobs === null ? undefined : tables.get(jobs);
    place.set(life.tensor, known ?? buffers.length);
    if (known !== undefined) continue;
    if (jobs !== null) tables.set(jobs, buffers.length);
    buffers.push({ label: name, role, bytes });
  }
  for (const shared of reuseBuffers(activations)) {
    for (const { tensor } of shared.lives) place.set(tensor, buffers.length);
    buffers.push({ label: `activations ${buffers.length}`, role: "activation", bytes: shared.bytes });
  }
  return { buffers, bufferIndex: place };
}

interface Placed {
  memory: MemoryPlan;
}

/** The buffers that a program shares with `sharedFrom`, by index, with the tensor in each. */
export function sharedBuffers({ memory }: Placed, sharedFrom?: Placed): Map<number, Tensor> {
  const shared = new Map<number, Tensor>();
  for (const [root, index] of memory.bufferIndex) if (sharedFrom?.memory.bufferIndex.has(root)) shared.set(index, root);
  return shared;
}

export function withoutShared(program: Placed, sharedFrom?: Placed): MemoryPlan {
  const shared = sharedBuffers(program, sharedFrom);
  return { ...program.memory, buffers: program.memory.buffers.filter((_, i) => !shared.has(i)) };
}

/** The tables of a program, to be written once. */
export function listTables({ memory }: Placed): { tensor: Tensor; contents: Uint32Array }[] {
  return [...memory.bufferIndex.keys()].flatMap((tensor) => {
    const { contents } = tensor;
    return contents ? [{ tensor, contents }] : [];
  });
}

/** Bytes by role, and in all. */
export function memoryTotals({ buffers }: MemoryPlan): { total: number; byRole: Map<Role, number> } {
  const byRole = new Map<Role, number>();
  for (const { role, bytes } of buffers) byRole.set(role, (byRole.get(role) ?? 0) + bytes);
  return { total: buffers.reduce((sum, { bytes }) => sum + bytes, 0), byRole };
}

/** "1.25 GB", "12.3 MB" or "640 bytes". */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  if (bytes >= 1e4) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${bytes} bytes`;
}

/** The hint where there are too many texts. */
export const SMALLER_BATCH = "use fewer or shorter texts at a time";

export function fits(plan: MemoryPlan, { maxBinding, maxBuffer, total = Infinity }: MemoryLimits): boolean {
  const most = Math.min(maxBinding, maxBuffer);
  return plan.buffers.every(({ bytes }) => bytes <= most) && memoryTotals(plan).total <= total;
}
