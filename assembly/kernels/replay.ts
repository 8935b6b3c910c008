// The interpreter: runs a list of dispatches, with a barrier behind each, so that a step is one call.
import { RECORD_BYTES, run } from "./generated/operations";
import { barrier } from "./threads";

/** Bytes from one record to the next: the operation's number, then its arguments, a word each. */
export function record_bytes(): u32 {
  return RECORD_BYTES;
}

/** Runs `count` records from `list` on. */
export function replay(list: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    run(list + i * RECORD_BYTES);
    barrier();
  }
}
