// The vocabulary: the id of every merged pair, and the bytes of every id. It is loaded from a binary built by
// src/tools/tokenizer.mjs. In GPT-2 the id of a merged pair is 256 plus the rank of the merge; an id is therefore also a
// priority, and the pairs in the order of the merges are sufficient:
//
//     u32 magic "LRT1" | u32 merges | u8 byte[256] (of ids 0-255) | u16 left[merges] | u16 right[merges]
//
// The last id, 256 + merges, is the text <|endoftext|>, which no merge produces.

const MAGIC: u32 = 0x3154524c;
const HEADER_BYTES: usize = 8 + 256;
/** Ids are stored in 16 bits. */
const MAX_MERGES: u32 = 0xffff - 257;
/** Far above GPT-2's longest (128); limits the memory that damaged tables can request. */
const MAX_TOKEN_BYTES: u32 = 1024;
const END_OF_TEXT: usize = memory.data<u8>([60, 124, 101, 110, 100, 111, 102, 116, 101, 120, 116, 124, 62]);
const END_OF_TEXT_BYTES: u32 = 13;

/** Slots of the pair table, {u32 left << 16 | right, u32 id}, a power of two well above the number of merges. */
const PAIR_SLOT_BITS: u32 = 17;
const PAIR_SLOTS: u32 = 1 << PAIR_SLOT_BITS;
const NO_KEY: u32 = 0xffffffff;

/** The result of `pair_id` for a pair that does not merge; larger than any id. */
export const NO_PAIR: u32 = 0xffffffff;

/** Bytes that `decode` copies at once; it may read this many after the last token. */
const VECTOR_BYTES: u32 = 16;

const byte_ids: usize = memory.data(256);
let pairs: usize = 0;
let offsets: usize = 0;
let token_bytes: usize = 0;
let size: u32 = 0;

function pair_slot(key: u32): u32 {
  return (key * 0x9e3779b1) >> (32 - PAIR_SLOT_BITS);
}

/** The id of one byte. */
export function byte_id(byte: u8): u32 {
  return load<u8>(byte_ids + byte);
}

/** The id that `left` and `right` merge into, or NO_PAIR. Of two pairs the one with the smaller id merges first. */
export function pair_id(left: u32, right: u32): u32 {
  const key = (left << 16) | right;
  let slot = pair_slot(key);
  while (true) {
    const at = pairs + ((<usize>slot) << 3);
    const found = load<u32>(at);
    if (found == key) return load<u32>(at, 4);
    if (found == NO_KEY) return NO_PAIR;
    slot = (slot + 1) & (PAIR_SLOTS - 1);
  }
}

function add_pair(key: u32, id: u32): void {
  let slot = pair_slot(key);
  while (load<u32>(pairs + ((<usize>slot) << 3)) != NO_KEY) slot = (slot + 1) & (PAIR_SLOTS - 1);
  store<u32>(pairs + ((<usize>slot) << 3), key);
  store<u32>(pairs + ((<usize>slot) << 3), id, 4);
}

function token_length(id: u32): u32 {
  const at = offsets + ((<usize>id) << 2);
  return load<u32>(at, 4) - load<u32>(at);
}

/** Fills `offsets`; returns whether every merge joins earlier ids, and no token is too long. */
function measure(left: usize, right: usize, merges: u32): bool {
  for (let id: u32 = 0; id <= 256; id++) store<u32>(offsets + ((<usize>id) << 2), id);
  for (let i: u32 = 0; i < merges; i++) {
    const a = <u32>load<u16>(left + ((<usize>i) << 1));
    const b = <u32>load<u16>(right + ((<usize>i) << 1));
    if (a >= 256 + i || b >= 256 + i) return false;
    const length = token_length(a) + token_length(b);
    if (length > MAX_TOKEN_BYTES) return false;
    const at = offsets + ((<usize>(256 + i)) << 2);
    store<u32>(at, load<u32>(at) + length, 4);
  }
  const at = offsets + ((<usize>(256 + merges)) << 2);
  store<u32>(at, load<u32>(at) + END_OF_TEXT_BYTES, 4);
  return true;
}

function copy_token(id: u32, out: usize): u32 {
  const from = token_bytes + load<u32>(offsets + ((<usize>id) << 2));
  const length = token_length(id);
  for (let i: u32 = 0; i < length; i++) store<u8>(out + i, load<u8>(from + i));
  return length;
}

/**
 * Loads a copy of the tables at `ptr` (format: top of this file). Returns the number of ids, or -1 if the format is invalid. Must
 * be called once, before any other function of this file.
 */
export function load_tables(ptr: usize, length: i32): i32 {
  if (length < <i32>HEADER_BYTES || load<u32>(ptr) != MAGIC) return -1;
  const merges = load<u32>(ptr, 4);
  if (merges > MAX_MERGES || <usize>length != HEADER_BYTES + ((<usize>merges) << 2)) return -1;
  const left = ptr + HEADER_BYTES;
  const right = left + ((<usize>merges) << 1);

  offsets = heap.alloc((<usize>merges + 258) << 2);
  if (!measure(left, right, merges)) return -1;
  token_bytes = heap.alloc(load<u32>(offsets + ((<usize>(257 + merges)) << 2)) + VECTOR_BYTES);
  pairs = heap.alloc((<usize>PAIR_SLOTS) << 3);
  memory.fill(pairs, 0xff, (<usize>PAIR_SLOTS) << 3);

  for (let id: u32 = 0; id < 256; id++) {
    const byte = load<u8>(ptr + 8 + id);
    store<u8>(byte_ids + byte, <u8>id);
    store<u8>(token_bytes + id, byte);
  }
  for (let i: u32 = 0; i < merges; i++) {
    const a = <u32>load<u16>(left + ((<usize>i) << 1));
    const b = <u32>load<u16>(right + ((<usize>i) << 1));
    const out = token_bytes + load<u32>(offsets + ((<usize>(256 + i)) << 2));
    copy_token(b, out + copy_token(a, out));
    add_pair((a << 16) | b, 256 + i);
  }
  const last = token_bytes + load<u32>(offsets + ((<usize>(256 + merges)) << 2));
  memory.copy(last, END_OF_TEXT, END_OF_TEXT_BYTES);
  size = 257 + merges;
  return <i32>size;
}

/**
 * The number of bytes that the `count` u32 ids at `ids` decode to, at most i32.MAX_VALUE (too many for one call), or -(index + 1)
 * of the first id that is not in the vocabulary.
 */
export function decoded_length(ids: usize, count: i32): i32 {
  let total: u64 = 0;
  for (let i = 0; i < count; i++) {
    const id = load<u32>(ids + ((<usize>i) << 2));
    if (id >= size) return -(i + 1);
    total += token_length(id);
  }
  return total > <u64>i32.MAX_VALUE ? i32.MAX_VALUE : <i32>total;
}

/**
 * Writes the bytes of the `count` u32 ids at `ids` to `out`. Returns their number, or -(index + 1) of the first id that is not in
 * the vocabulary or whose bytes exceed `capacity` (`decoded_length` is always sufficient).
 */
export function decode(ids: usize, count: i32, out: usize, capacity: i32): i32 {
  let done: u32 = 0;
  for (let i = 0; i < count; i++) {
    const id = load<u32>(ids + ((<usize>i) << 2));
    if (id >= size) return -(i + 1);
    const at = offsets + ((<usize>id) << 2);
    const from = load<u32>(at);
    const length = load<u32>(at, 4) - from;
    if (length <= VECTOR_BYTES && done + VECTOR_BYTES <= <u32>capacity) {
      // Most tokens fit into one vector; the next token overwrites its unused end.
      v128.store(out + done, v128.load(token_bytes + from));
      done += length;
    } else {
      if (done + length > <u32>capacity) return -(i + 1);
      done += copy_token(id, out + done);
    }
  }
  return <i32>done;
}
