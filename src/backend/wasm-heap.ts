/** A host-side allocator for a WebAssembly.Memory: large blocks, first fit, adjacent free blocks are merged. */

import { DeviceError } from "../errors.ts";
import { formatBytes, SMALLER_BATCH } from "../plan/memory.ts";

const PAGE_BYTES = 1 << 16;
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
  /** Memory from here on has never been used, so it is zero. */
  private top: number;

  /** Everything below `first` belongs to the module. */
  constructor(
    readonly memory: WebAssembly.Memory,
    private readonly first: number,
  ) {
    this.top = first;
  }

  /** Bytes in free blocks. */
  get freeBytes(): number {
    return this.free.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get usedBytes(): number {
    return this.top - this.first - this.freeBytes;
  }

  /** The address of a block of zeros, aligned to 64. Throws DeviceError if memory cannot grow. */
  alloc(size: number): number {
    const bytes = Math.ceil(Math.max(1, size) / ALIGN) * ALIGN;
    const index = this.free.findIndex((block) => block.bytes >= bytes);
    let at = this.top;
    if (index >= 0) {
      const block = this.free[index]!;
      at = block.at;
      if (block.bytes === bytes) this.free.splice(index, 1);
      else this.free[index] = { at: at + bytes, bytes: block.bytes - bytes };
      new Uint8Array(this.memory.buffer, at, bytes).fill(0);
    } else {
      this.grow(at + bytes);
      this.top = at + bytes;
    }
    this.used.set(at, { bytes, users: 1 });
    return at;
  }

  /** Adds a user to a block, which is freed when all users have released it. */
  share(at: number): void {
    this.used.get(at)!.users++;
  }

  release(at: number): void {
    const block = this.used.get(at);
    if (block === undefined || --block.users > 0) return;
    const { bytes } = block;
    this.used.delete(at);
    let index = this.free.findIndex((block) => block.at > at);
    if (index < 0) index = this.free.length;
    this.free.splice(index, 0, { at, bytes });
    const [before, middle, after] = [this.free[index - 1], this.free[index]!, this.free[index + 1]];
    if (after && middle.at + middle.bytes === after.at) {
      middle.bytes += after.bytes;
      this.free.splice(index + 1, 1);
    }
    if (before && before.at + before.bytes === middle.at) {
      before.bytes += middle.bytes;
      this.free.splice(index, 1);
    }
  }

  private grow(end: number): void {
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch (error) {
      throw new DeviceError("out-of-memory", "WebAssembly memory cannot grow", {
        expected: "at most 4 GiB in total",
        found: formatBytes(end),
        hint: SMALLER_BATCH,
        cause: error,
      });
    }
  }
}
