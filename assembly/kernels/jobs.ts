// Tables of entries: src/ops/jobs.ts.

/** Entry `i` of a table. */
export function entry<T>(table: usize, i: u32): T {
  return changetype<T>(table + <usize>i * offsetof<T>());
}
