// Packed batches: the concatenated ids of rows.
import { copy_row, row_class, row_full_length, row_is_empty, row_length } from "./rows";
import { end_of_text } from "./vocabulary";

/** Tokens of a row in a batch, without padding. `pad_to` > 0 truncates the row to that length; 0 does not. */
function real_tokens(row: i32, pad_to: i32): i32 {
  const length = row_length(row);
  return pad_to == 0 ? length : min(length, pad_to);
}

/** Tokens of a batch of the `count` rows at `rows`, padding included. */
export function batch_tokens(rows: usize, count: i32, pad_to: i32): i32 {
  if (pad_to != 0) return count * pad_to;
  let total = 0;
  for (let i = 0; i < count; i++) total += row_length(load<u32>(rows + ((<usize>i) << 2)));
  return total;
}

/**
 * Packs the `count` = B rows at `rows`. Writes u32: ids [N] (N = batch_tokens), starts [B+1], labels [B], and lengths
 * [B] without padding. The padding token is `end_of_text`.
 */
export function pack(
  ids: usize,
  starts: usize,
  labels: usize,
  lengths: usize,
  rows: usize,
  count: i32,
  pad_to: i32,
): void {
  let n = 0;
  for (let i = 0; i < count; i++) {
    const at = (<usize>i) << 2;
    const row = load<i32>(rows + at);
    const length = real_tokens(row, pad_to);
    store<i32>(starts + at, n);
    store<i32>(labels + at, row_class(row));
    store<i32>(lengths + at, length);
    copy_row(ids + ((<usize>n) << 2), row, length);
    for (let t = length; t < pad_to; t++) store<u32>(ids + ((<usize>(n + t)) << 2), end_of_text());
    n += max(length, pad_to);
  }
  store<i32>(starts + ((<usize>count) << 2), n);
}

/** Writes u32 [count] each: tokens of the rows in a batch, tokens before truncation, 1 if a text is empty, classes. */
export function row_table(
  lengths: usize,
  full_lengths: usize,
  empty: usize,
  labels: usize,
  rows: usize,
  count: i32,
  pad_to: i32,
): void {
  for (let i = 0; i < count; i++) {
    const at = (<usize>i) << 2;
    const row = load<i32>(rows + at);
    store<i32>(lengths + at, real_tokens(row, pad_to));
    store<i32>(full_lengths + at, row_full_length(row));
    store<i32>(empty + at, row_is_empty(row) ? 1 : 0);
    store<i32>(labels + at, row_class(row));
  }
}
