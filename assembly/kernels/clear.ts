// Clears tensors before a segment's dispatches.
import { Clear } from "./generated/records";
import { slice_begin, slice_end } from "./threads";

/** Fills this thread's slice of a tensor of `count` words with zeros. */
export function clear(p: Clear): void {
  const begin = slice_begin(p.count, 16);
  memory.fill(p.tensor + (begin << 2), 0, (slice_end(p.count, 16) - begin) << 2);
}
