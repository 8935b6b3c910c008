// The interpreter: runs a list of dispatches, with a barrier after each, so that a step is one call.
import { RECORD_BYTES, run } from "./generated/operations";
import { barrier } from "./threads";

/** Bytes per record: the operation number and its arguments, one word each. */
export function record_bytes(): u32 {
  return RECORD_BYTES;
}

/** Runs `count` records, starting at `list`. */
export function replay(list: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    run(list + i * RECORD_BYTES);
    barrier();
  }
}
