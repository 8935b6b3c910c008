// Byte-level BPE, exact: in each piece of the splitting pattern the pair with the lowest rank merges first, the
// leftmost of equal ones. Short pieces are merged by scanning, and long ones with a heap, so that a "word" of n letters
// takes n log n steps instead of n squared.

import { ROOM_HEADER, room } from "./room";
import { byte_id, byte_rank, merged_id, NO_ID, NO_PAIR, pair_rank, whole_count } from "./vocabulary";
import { word_id } from "./words";

/** Pieces of up to this many bytes are merged by scanning; the ranks of their pairs are in `short_pairs`. */
const SHORT_BYTES: usize = 48;
const short_pairs: usize = memory.data(192, 4);

/** Scratch memory for long pieces: u32 next, previous and pair per byte, then the heap. */
const scratch = memory.data(ROOM_HEADER);
let queue: usize = 0;
let queued: usize = 0;

/** Writes the ids of the `length` bytes at `text` to `out`; returns their number. Drops bytes without a token. */
function byte_ids_of(text: usize, length: usize, out: usize): usize {
  let count: usize = 0;
  for (let i: usize = 0; i < length; i++) {
    const id = byte_id(load<u8>(text + i));
    store<u32>(out + (count << 2), id);
    count += <usize>(id != NO_ID);
  }
  return count;
}

/** Merges the `length` bytes (1 to SHORT_BYTES) at `text` into ids at `out`; returns their number. */
function merge_short(text: usize, length: usize, out: usize): usize {
  let count = byte_ids_of(text, length, out);
  if (count == length) {
    let two: u32 = load<u8>(text);
    for (let i: usize = 1; i < count; i++) {
      two = ((two & 0xff) << 8) | load<u8>(text + i);
      store<u32>(short_pairs + (i << 2) - 4, byte_rank(two));
    }
  } else {
    for (let i: usize = 0; i + 1 < count; i++) {
      const at = out + (i << 2);
      store<u32>(short_pairs + (i << 2), pair_rank(load<u32>(at), load<u32>(at, 4)));
    }
  }
  while (count > 1) {
    let best = NO_PAIR;
    let best_at: usize = 0;
    for (let i: usize = 0; i + 1 < count; i++) {
      const rank = load<u32>(short_pairs + (i << 2));
      if (rank < best) {
        best = rank;
        best_at = i;
      }
    }
    if (best == NO_PAIR) break;
    count--;
    const at = out + (best_at << 2);
    const pair = short_pairs + (best_at << 2);
    const id = merged_id(best);
    store<u32>(at, id);
    for (let i = best_at + 1; i < count; i++) {
      store<u32>(out + (i << 2), load<u32>(out + (i << 2), 4));
      store<u32>(short_pairs + (i << 2), load<u32>(short_pairs + (i << 2), 4));
    }
    if (best_at > 0) store<u32>(pair - 4, pair_rank(load<u32>(at - 4), id));
    if (best_at + 1 < count) store<u32>(pair, pair_rank(id, load<u32>(at, 4)));
  }
  return count;
}

/** Adds an entry, rank << 32 | index, to the heap, a 4-ary min-heap: the children of entry i are 4 i + 1 to 4 i + 4. */
function push(entry: u64): void {
  let at = queued++;
  while (at > 0) {
    const parent = (at - 1) >> 2;
    const above = load<u64>(queue + (parent << 3));
    if (above <= entry) break;
    store<u64>(queue + (at << 3), above);
    at = parent;
  }
  store<u64>(queue + (at << 3), entry);
}

/** Removes the smallest entry from the heap, which must not be empty. */
function pop(): u64 {
  const least = load<u64>(queue);
  const entry = load<u64>(queue + (--queued << 3));
  let at: usize = 0;
  while (true) {
    const first = (at << 2) + 1;
    if (first >= queued) break;
    let child = first;
    let below = load<u64>(queue + (first << 3));
    const stop = min<usize>(first + 4, queued);
    for (let other = first + 1; other < stop; other++) {
      const found = load<u64>(queue + (other << 3));
      child = select<usize>(other, child, found < below);
      below = select<u64>(found, below, found < below);
    }
    if (below >= entry) break;
    store<u64>(queue + (at << 3), below);
    at = child;
  }
  store<u64>(queue + (at << 3), entry);
  return least;
}

/** Writes the pair that begins at `index` and queues it if it merges. */
function set_pair(pairs: usize, index: usize, rank: u32): void {
  store<u32>(pairs + (index << 2), rank);
  if (rank != NO_PAIR) push(((<u64>rank) << 32) | <u64>index);
}

/**
 * Same as `merge_short` for any length. Symbols are identified by the index of their first byte and linked. A heap
 * entry is stale if the pair at its index has changed.
 */
function merge_long(text: usize, length: usize, out: usize): usize {
  // The heap has at most one entry per byte initially, and one more net per merge.
  queue = room(scratch, <u64>length * (3 * 4 + 2 * 8));
  queued = 0;
  const next = queue + (length << 4);
  const previous = next + (length << 2);
  const pairs = previous + (length << 2);

  length = byte_ids_of(text, length, out);
  for (let i: usize = 0; i < length; i++) {
    store<u32>(next + (i << 2), <u32>i + 1);
    store<u32>(previous + (i << 2), <u32>i - 1);
  }
  for (let i: usize = 0; i + 1 < length; i++) {
    const at = out + (i << 2);
    set_pair(pairs, i, pair_rank(load<u32>(at), load<u32>(at, 4)));
  }
  while (queued > 0) {
    const entry = pop();
    const index = <usize>(<u32>entry);
    const rank = <u32>(entry >> 32);
    if (load<u32>(pairs + (index << 2)) != rank) continue;
    const id = merged_id(rank);
    const gone = <usize>load<u32>(next + (index << 2));
    const after = <usize>load<u32>(next + (gone << 2));
    store<u32>(out + (index << 2), id);
    store<u32>(next + (index << 2), <u32>after);
    store<u32>(pairs + (gone << 2), NO_PAIR);
    if (after < length) {
      store<u32>(previous + (after << 2), <u32>index);
      set_pair(pairs, index, pair_rank(id, load<u32>(out + (after << 2))));
    } else {
      store<u32>(pairs + (index << 2), NO_PAIR);
    }
    if (index > 0) {
      const before = <usize>load<u32>(previous + (index << 2));
      set_pair(pairs, before, pair_rank(load<u32>(out + (before << 2)), id));
    }
  }
  let count: usize = 0;
  for (let i: usize = 0; i < length; i = <usize>load<u32>(next + (i << 2))) {
    store<u32>(out + (count++ << 2), load<u32>(out + (i << 2)));
  }
  return count;
}

/** Writes the ids of the piece of `length` > 0 bytes at `text` to `out`; returns their number. */
export function encode_bpe(text: usize, length: usize, out: usize): usize {
  if (whole_count != 0) {
    const id = word_id(text, length);
    if (id >= 0) {
      store<u32>(out, id);
      return 1;
    }
  }
  return length <= SHORT_BYTES ? merge_short(text, length, out) : merge_long(text, length, out);
}
