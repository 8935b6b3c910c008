/** A host-side allocator for the CPU's memory: large blocks, first fit, adjacent free blocks are merged. */

import { DeviceError } from "../core/errors.ts";
import { formatBytes, SMALLER_BATCH } from "../plan/memory.ts";
import { FIRST_ADDRESS, type Memory } from "./wasm-memory.ts";

/** Blocks are aligned to cache lines. */
const ALIGN = 64;

interface HeapBlock {
  at: number;
  bytes: number;
}

export class Heap {
  /** Free blocks, sorted by address. */
  private readonly free: HeapBlock[] = [];
  private readonly used = new Map<number, { bytes: number; users: number }>();
  /** Nothing behind it was ever taken. */
  private top = FIRST_ADDRESS;
  /** Nothing behind it was ever used, so it is zero: the memory does not reach further. */
  private end = FIRST_ADDRESS;

  constructor(private readonly memory: Pick<Memory, "grow" | "clear">) {}

  get usedBytes(): number {
    return [...this.used.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Bytes that the memory has, but nobody uses. */
  get freeBytes(): number {
    return this.end - FIRST_ADDRESS - this.usedBytes;
  }

  /**
   * The addresses of blocks of zeros, aligned to 64, which are taken before this returns. Throws DeviceError if memory
   * cannot grow: then none is taken.
   */
  async alloc(sizes: readonly number[]): Promise<number[]> {
    const { end: before } = this;
    const blocks = sizes.map((bytes) => this.take(Math.ceil(Math.max(1, bytes) / ALIGN) * ALIGN));
    const end = Math.max(...blocks.map(({ at, bytes }) => at + bytes));
    if (!(await this.memory.grow(end))) {
      for (const { at } of blocks) this.release(at);
      throw new DeviceError("out-of-memory", "WebAssembly memory cannot grow", {
        expected: "at most 4 GiB in total",
        found: formatBytes(end),
        hint: SMALLER_BATCH,
      });
    }
    this.end = Math.max(this.end, end);
    for (const { at, bytes } of blocks) if (at < before) this.memory.clear(at, bytes);
    return blocks.map(({ at }) => at);
  }

  /** Adds a user to a block, which is freed when all users have released it. */
  share(at: number): void {
    this.used.get(at)!.users++;
  }

  release(at: number): void {
    const block = this.used.get(at);
    if (block === undefined || --block.users > 0) return;
    this.used.delete(at);
    this.free.push({ at, bytes: block.bytes });
    this.free.sort((a, b) => a.at - b.at);
    for (let i = this.free.length - 1; i > 0; i--) {
      const [before, block] = [this.free[i - 1]!, this.free[i]!];
      if (before.at + before.bytes !== block.at) continue;
      before.bytes += block.bytes;
      this.free.splice(i, 1);
    }
  }

  /** Takes the first free block that is large enough, or what is behind all. */
  private take(bytes: number): HeapBlock {
    const block = this.free.find((block) => block.bytes >= bytes);
    const at = block?.at ?? this.top;
    if (block) {
      block.at += bytes;
      block.bytes -= bytes;
    } else this.top += bytes;
    this.used.set(at, { bytes, users: 1 });
    return { at, bytes };
  }
}
