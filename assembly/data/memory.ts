// The module's memory, handed out to the host and between the files of the pipeline. The host owns what it allocates:
// nothing is collected, so every block lives until it is freed.

/** A block of `bytes` bytes, aligned to 16, contents undefined. Traps where memory cannot grow. */
export function alloc(bytes: i32): usize {
  return heap.alloc(<usize>(<u32>bytes));
}

/** Gives a block of `alloc` back; 0 is allowed. */
export function free(ptr: usize): void {
  if (ptr != 0) heap.free(ptr);
}
