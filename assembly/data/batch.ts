// Packed batches: the rows' ids one behind the other.
import { END_OF_TEXT, row_class, row_full_length, row_ids, row_length } from "./rows";

/** Real tokens of a row in a batch, where `pad_to` = 0 keeps all and another value pads and cuts to it. */
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
 * Packs the `count` = B rows at `rows`. Writes u32: ids [N] (N = batch_tokens), starts [B+1], labels [B], and lengths [B],
 * the real tokens; tokens of padding are END_OF_TEXT.
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
    const source = row_ids(row);
    store<i32>(starts + at, n);
    store<i32>(labels + at, row_class(row));
    store<i32>(lengths + at, length);
    for (let t = 0; t < length; t++) store<u32>(ids + ((<usize>(n + t)) << 2), load<u16>(source + ((<usize>t) << 1)));
    for (let t = length; t < pad_to; t++) store<u32>(ids + ((<usize>(n + t)) << 2), END_OF_TEXT);
    n += max(length, pad_to);
  }
  store<i32>(starts + ((<usize>count) << 2), n);
}

/** Writes u32 [count] each: the rows' tokens in a batch, their tokens before any cut (0: empty text), their classes. */
export function row_table(
  lengths: usize,
  full_lengths: usize,
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
    store<i32>(labels + at, row_class(row));
  }
}
