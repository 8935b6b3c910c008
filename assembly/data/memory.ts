// Allocation of the module's memory, for the host and the pipeline. There is no garbage collection: every block lives
// until it is freed.

/** A block of `bytes` bytes, aligned to 16, with undefined contents. Traps if memory cannot grow. */
export function alloc(bytes: i32): usize {
  return heap.alloc(<usize>(<u32>bytes));
}

/** Frees a block of `alloc`; 0 is allowed. */
export function free(ptr: usize): void {
  if (ptr != 0) heap.free(ptr);
}
