// Tables of entries, and the rows of a member's share of the batch: src/ops/shares.ts.
import { Share } from "./generated/records";

/** Entry `i` of a table: a share, or a job. */
export function entry<T>(table: usize, i: u32): T {
  return changetype<T>(table + <usize>i * offsetof<T>());
}

/** The first row of a share: of its tokens, or of its sequences where by_sequence is not 0. */
export function first_row(share: Share, by_sequence: u32): u32 {
  return by_sequence ? share.sequence : share.token;
}

export function row_count(share: Share, by_sequence: u32): u32 {
  return by_sequence ? share.sequences : share.tokens;
}
