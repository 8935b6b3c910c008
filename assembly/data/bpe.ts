// Byte-level BPE, exact: in each piece of the splitting pattern the pair with the lowest rank merges first, the
// leftmost of equal ones. Frequent pieces come from a cache, short ones are merged by scanning, and long ones with a
// heap, so that a "word" of n letters takes n log n steps instead of n squared.

import { find_added, found_end, found_from, found_next, has_added, NORMALIZED_PASS, PASSES } from "./added";
import { MODE_BEGIN, MODE_SPECIAL } from "./generated/numbers";
import { normal_end, normalize } from "./normalize";
import { piece_end } from "./pretokenize";
import {
  begin_of_text,
  byte_id,
  byte_rank,
  id_shift,
  merged_id,
  NO_ID,
  NO_PAIR,
  pair_rank,
  whole_count,
} from "./vocabulary";
import { word_id } from "./words";

/** Pieces of up to this many bytes are merged by scanning; the ranks of their pairs are in `short_pairs`. */
const SHORT_BYTES: usize = 48;
const short_pairs: usize = memory.data(192, 4);

/**
 * The cache: slots of 32 bytes, {u64 low, u64 high (the piece, padded with zeros), u8 bytes, u8 ids, u16 id[7]}. A slot
 * holds the last piece with its hash; bytes = 0: empty. Pieces with an id above 65,535, which are rare, are not cached.
 */
const CACHE_SLOT_BITS: u64 = 15;
const CACHED_BYTES: usize = 16;
const CACHED_IDS: usize = 7;
let cache: usize = 0;

/** Scratch memory for long pieces, grown on demand: u32 next, previous and pair per byte, then the heap. */
let scratch: usize = 0;
let scratch_bytes: usize = 0;
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
  // The heap has at most one entry per byte initially, and one more net per merge. For longer pieces the product would
  // wrap around; the allocator refuses this one, which is above its limit of 1 GiB.
  const need = min<usize>(length, 1 << 27) * (3 * 4 + 2 * 8);
  if (scratch_bytes < need) {
    if (scratch != 0) heap.free(scratch);
    scratch = 0; // in case the allocation traps
    scratch_bytes = 0;
    scratch = heap.alloc(need);
    scratch_bytes = need;
  }
  queue = scratch;
  queued = 0;
  const next = scratch + (length << 4);
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

/** Reads up to 8 bytes at `from` as a little-endian number. */
function load_few(from: usize, length: usize): u64 {
  let value: u64 = 0;
  for (let i: usize = 0; i < length; i++) value |= (<u64>load<u8>(from + i)) << (i << 3);
  return value;
}

/** Whether all ids fit the cache. */
function all_short(ids: usize, count: usize): bool {
  let all: u32 = 0;
  for (let i: usize = 0; i < count; i++) all |= load<u32>(ids + (i << 2));
  return all <= 0xffff;
}

/** Writes the ids of the piece of `length` > 0 bytes at `text` to `out`; returns their number. */
function encode_piece(text: usize, length: usize, out: usize): usize {
  if (whole_count != 0) {
    const id = word_id(text, length);
    if (id >= 0) {
      store<u32>(out, id);
      return 1;
    }
  }
  return length <= SHORT_BYTES ? merge_short(text, length, out) : merge_long(text, length, out);
}

/** Encodes a piece of 1 to CACHED_BYTES bytes with the cache; memory before `end` may be read. */
function encode_cached(text: usize, length: usize, end: usize, out: usize): usize {
  let low: u64;
  let high: u64 = 0;
  if (end - text >= CACHED_BYTES) {
    low = load<u64>(text);
    if (length > 8) high = load<u64>(text, 8) & (u64.MAX_VALUE >> <u64>((16 - length) << 3));
    else low &= u64.MAX_VALUE >> <u64>((8 - length) << 3);
  } else {
    low = load_few(text, min<usize>(length, 8));
    if (length > 8) high = load_few(text + 8, length - 8);
  }
  const mixed = (low ^ (high * 0x9e3779b97f4a7c15) ^ <u64>length) * 0xd6e8feb86659fd93;
  const slot = cache + ((<usize>((mixed ^ (mixed << 29)) >> (64 - CACHE_SLOT_BITS))) << 5);
  if (load<u64>(slot) == low && load<u64>(slot, 8) == high && load<u8>(slot, 16) == <u8>length) {
    const count = <usize>load<u8>(slot, 17);
    for (let i: usize = 0; i < count; i++) store<u32>(out + (i << 2), load<u16>(slot + (i << 1), 18));
    return count;
  }
  const count = encode_piece(text, length, out);
  if (count <= CACHED_IDS && (id_shift() == 1 || all_short(out, count))) {
    store<u64>(slot, low);
    store<u64>(slot, high, 8);
    store<u8>(slot, <u8>length, 16);
    store<u8>(slot, <u8>count, 17);
    for (let i: usize = 0; i < count; i++) store<u16>(slot + (i << 1), <u16>load<u32>(out + (i << 2)), 18);
  }
  return count;
}

/** Encodes the text from `at` to `end`, in which no added tokens are looked for; returns the end of the ids at `to`. */
function encode_words(at: usize, end: usize, to: usize): usize {
  while (at < end) {
    const stop = piece_end(at, end);
    const bytes = stop - at;
    to += (bytes <= CACHED_BYTES ? encode_cached(at, bytes, end, to) : encode_piece(at, bytes, to)) << 2;
    at = stop;
  }
  return to;
}

/** The same with added tokens: those of `pass` and, between them, of the later passes, which find them normalized. */
function encode_added(start: usize, end: usize, to: usize, pass: u32, special: bool): usize {
  if (pass == PASSES) return encode_words(start, end, to);
  if (pass == NORMALIZED_PASS) {
    start = normalize(start, end);
    end = normal_end;
  }
  let done = start;
  let at = start;
  while (at < end) {
    const id = find_added(start, done, at, end, pass, special);
    if (id < 0) break;
    const stop = found_end;
    at = found_next;
    if (done < found_from) to = encode_added(done, found_from, to, pass + 1, special);
    store<u32>(to, id);
    to += 4;
    done = stop;
  }
  return done < end ? encode_added(done, end, to, pass + 1, special) : to;
}

/**
 * Encodes the `length` UTF-8 bytes at `text`. Writes u32 ids to `out`, which has space for `most_ids(length)`; returns
 * their number. Special tokens are encoded like any other text unless the flag MODE_SPECIAL is set, and invalid UTF-8
 * byte by byte. With MODE_BEGIN the vocabulary's token before every text, if it has one, is the first. Call
 * `load_tables` first.
 */
export function encode(text: usize, length: i32, out: usize, mode: u32): i32 {
  if (cache == 0) {
    const bytes = (<usize>1) << (<usize>(CACHE_SLOT_BITS + 5));
    cache = heap.alloc(bytes);
    memory.fill(cache, 0, bytes);
  }
  let to = out;
  if (mode & MODE_BEGIN && begin_of_text() != NO_ID) {
    store<u32>(to, begin_of_text());
    to += 4;
  }
  const special = (mode & MODE_SPECIAL) != 0;
  const end = text + <usize>length;
  if (has_added(special)) to = encode_added(text, end, to, 0, special);
  else to = encode_words(normalize(text, end), normal_end, to);
  return <i32>((to - out) >> 2);
}
