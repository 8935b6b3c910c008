// The vocabulary: the rank of every pair that merges, the id that it becomes, and the bytes of every id. It is loaded
// from one of two forms. GPT-2's own is 200 KB, built by src/tools/tokenizer.mjs, because merge i produces id 256 + i
// there and the last id is the text <|endoftext|>:
//
//     u32 magic "LRT1" | u32 merges | u8 byte[256] (of ids 0-255) | u16 left[merges] | u16 right[merges]
//
// Any other vocabulary is made by src/io/tokenizer/vocabulary-tables.ts from a model's files; all numbers are u32:
//
//     magic "LRT2" | ids | merges | added tokens | whole words | id of <|endoftext|> | id before each text, or NO_ID |
//     number of the splitting pattern | kind | id of unknown, or NO_ID | 1: the end's id is behind each text | times that
//     it is between the texts of a pair | bytes of the parts | id[256] of each byte, NO_ID for none | left[merges] |
//     right[merges] | id[merges] | {id, flags}[added tokens] | id[whole words] | offsets[ids + 1] | parts |
//     u8 bytes of all ids
//
// An id without a token has no bytes. Whole words are tokens whatever the merges say (`ignore_merges`). Kinds are BPE,
// WordPiece and Unigram. A part is {number, bytes, u8 contents, filled to 4 bytes}: what else a kind needs, and the steps
// of the normalizer in their order (parts.ts).

import { KIND_BPE, KIND_UNIGRAM, TOKEN_SPECIAL } from "./generated/numbers";
import { choose_pattern } from "./pretokenize";

const GPT2_MAGIC: u32 = 0x3154524c;
const GPT2_HEADER: usize = 8 + 256;
const OWN_MAGIC: u32 = 0x3254524c;
const OWN_HEADER: usize = 52 + 4 * 256;
/** Ids of GPT-2's form are stored in 16 bits. */
const GPT2_MERGES: u32 = 0xffff - 257;
/** Far above GPT-2's longest (128); limits the memory that damaged tables can request. */
const MAX_TOKEN_BYTES: u32 = 1024;
const END_OF_TEXT: usize = memory.data<u8>([60, 124, 101, 110, 100, 111, 102, 116, 101, 120, 116, 124, 62]);
const END_OF_TEXT_BYTES: u32 = 13;

/** Ids and ranks have 20 bits, so that a pair and its rank share a u64. */
const ID_BITS: u64 = 20;
const MAX_IDS: u32 = 1 << 20;
/** The pair table: slots of u64 left << 40 | right << 20 | rank; a power of two of them, at least twice the merges. */
const EMPTY: u64 = u64.MAX_VALUE;
let pairs: usize = 0;
/** Selects the address of a slot, a multiple of 8, from a hash. */
let slot_mask: usize = 0;

/** The result of `pair_rank` for a pair that does not merge; above any rank. */
export const NO_PAIR: u32 = 0xffffffff;
/** The id of a byte that the vocabulary lacks. */
export const NO_ID: u32 = 0xffffffff;

/** Bytes that `decode` copies at once; it may read this many after the last token. */
const VECTOR_BYTES: u32 = 16;

const byte_ids: usize = memory.data(4 * 256, 4);
let byte_ranks: usize = 0;
let merged: usize = 0;
let offsets: usize = 0;
let token_bytes: usize = 0;
let size: u32 = 0;
let end_id: u32 = 0;
let begin_id: u32 = NO_ID;
/** Bytes of the longest token. */
let longest: u32 = 0;

/** The added tokens: their number, and the address of {u32 id, u32 flags} of each. */
export let added_count: u32 = 0;
export let added_tokens: usize = 0;
/** The whole words: their number, and the address of their u32 ids. */
export let whole_count: u32 = 0;
export let whole_ids: usize = 0;
/** The kind of the vocabulary, and where its parts begin and end. */
export let kind: u32 = KIND_BPE;
export let parts: usize = 0;
export let parts_end: usize = 0;
/** The id of what the vocabulary lacks, or NO_ID. */
export let unknown_id: u32 = NO_ID;
/** How many ids of the end are behind every text, and between the texts of a pair. */
export let closing_ids: i32 = 0;
export let pair_ids: i32 = 1;

/** The id of one byte, or NO_ID. */
export function byte_id(byte: u8): u32 {
  return load<u32>(byte_ids + ((<usize>byte) << 2));
}

/** The id that the pair of this rank merges into. */
export function merged_id(rank: u32): u32 {
  return load<u32>(merged + ((<usize>rank) << 2));
}

/** The place of a pair's slot in the table: the upper bits of a product, as many as the largest table needs. */
function slot_of(key: u64): usize {
  return <usize>((key * 0x9e3779b97f4a7c15) >> 40) & slot_mask;
}

/** The rank of the merge of `left` and `right`, or NO_PAIR. Of two pairs the one with the lower rank merges first. */
export function pair_rank(left: u32, right: u32): u32 {
  const key = ((<u64>left) << ID_BITS) | <u64>right;
  let slot = slot_of(key);
  while (true) {
    const found = load<u64>(pairs + slot);
    const rank = found ^ (key << ID_BITS);
    if (rank < MAX_IDS) return <u32>rank;
    if (found == EMPTY) return NO_PAIR;
    slot = (slot + 8) & slot_mask;
  }
}

/** The rank of two bytes that have ids, the first in the upper half of `two`: most of the pairs that are looked up. */
export function byte_rank(two: u32): u32 {
  return load<u32>(byte_ranks + ((<usize>two) << 2));
}

/** Of equal pairs the last one counts, as in the library `tokenizers`. */
function add_pair(left: u32, right: u32, rank: u32): void {
  const key = ((<u64>left) << ID_BITS) | <u64>right;
  let slot = slot_of(key);
  while (true) {
    const found = load<u64>(pairs + slot);
    if (found == EMPTY || found >> ID_BITS == key) break;
    slot = (slot + 8) & slot_mask;
  }
  store<u64>(pairs + slot, (key << ID_BITS) | <u64>rank);
}

function make_pairs(merges: u32): void {
  let slots: usize = 16;
  while (slots < 2 * <usize>merges) slots <<= 1;
  slot_mask = (slots - 1) << 3;
  pairs = heap.alloc(slots << 3);
  memory.fill(pairs, 0xff, slots << 3);
}

/** The id that replaces an empty text, separates documents, and pads. */
export function end_of_text(): u32 {
  return end_id;
}

/** The id that is put before every text, or NO_ID. */
export function begin_of_text(): u32 {
  return begin_id;
}

/** Bytes of the longest token. */
export function longest_token(): u32 {
  return longest;
}

/** How far a number of ids is shifted to get the bytes that store them: ids below 65,536 take two, others four. */
export function id_shift(): usize {
  return size <= 0x10000 ? 1 : 2;
}

/** The address of the bytes of `id`. */
export function token_at(id: u32): usize {
  return token_bytes + load<u32>(offsets + ((<usize>id) << 2));
}

export function token_length(id: u32): u32 {
  const at = offsets + ((<usize>id) << 2);
  return load<u32>(at, 4) - load<u32>(at);
}

/** Fills `offsets` of GPT-2's form; returns whether every merge joins earlier ids, and no token is too long. */
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
  const from = token_at(id);
  const length = token_length(id);
  for (let i: u32 = 0; i < length; i++) store<u8>(out + i, load<u8>(from + i));
  return length;
}

function load_gpt2(ptr: usize, length: usize): bool {
  if (length < GPT2_HEADER) return false;
  const merges = load<u32>(ptr, 4);
  if (merges > GPT2_MERGES || length != GPT2_HEADER + ((<usize>merges) << 2)) return false;
  const left = ptr + GPT2_HEADER;
  const right = left + ((<usize>merges) << 1);

  offsets = heap.alloc((<usize>merges + 258) << 2);
  if (!measure(left, right, merges)) return false;
  token_bytes = heap.alloc(load<u32>(offsets + ((<usize>(257 + merges)) << 2)) + VECTOR_BYTES);
  merged = heap.alloc((<usize>merges) << 2);
  make_pairs(merges);
  for (let id: u32 = 0; id < 256; id++) {
    const byte = load<u8>(ptr + 8 + id);
    store<u32>(byte_ids + ((<usize>byte) << 2), id);
    store<u8>(token_bytes + id, byte);
  }
  for (let i: u32 = 0; i < merges; i++) {
    const a = <u32>load<u16>(left + ((<usize>i) << 1));
    const b = <u32>load<u16>(right + ((<usize>i) << 1));
    const out = token_at(256 + i);
    copy_token(b, out + copy_token(a, out));
    store<u32>(merged + ((<usize>i) << 2), 256 + i);
    add_pair(a, b, i);
  }
  end_id = 256 + merges;
  added_count = 1;
  added_tokens = heap.alloc(8);
  store<u32>(added_tokens, end_id);
  store<u32>(added_tokens, TOKEN_SPECIAL, 4);
  memory.copy(token_at(end_id), END_OF_TEXT, END_OF_TEXT_BYTES);
  size = 257 + merges;
  return true;
}

/** The tables are used where they lie: src/io/tokenizer/vocabulary-tables.ts has checked the files that they were made from. */
function load_own(ptr: usize, length: usize): bool {
  if (length < OWN_HEADER) return false;
  const ids = load<u32>(ptr, 4);
  const merges = load<u32>(ptr, 8);
  const added = load<u32>(ptr, 12);
  const whole = load<u32>(ptr, 16);
  const parts_bytes = load<u32>(ptr, 48);
  kind = load<u32>(ptr, 32);
  if (ids > MAX_IDS || merges > MAX_IDS || added > ids || whole > ids || kind > KIND_UNIGRAM) return false;
  if (!choose_pattern(load<u32>(ptr, 28))) return false;
  const left = ptr + OWN_HEADER;
  const right = left + ((<usize>merges) << 2);
  merged = right + ((<usize>merges) << 2);
  added_tokens = merged + ((<usize>merges) << 2);
  whole_ids = added_tokens + ((<usize>added) << 3);
  offsets = whole_ids + ((<usize>whole) << 2);
  parts = offsets + ((<usize>ids + 1) << 2);
  if (parts > ptr + length || <usize>parts_bytes > ptr + length - parts) return false;
  parts_end = parts + parts_bytes;
  token_bytes = parts_end;
  if (token_bytes + load<u32>(parts - 4) + VECTOR_BYTES != ptr + length) return false;
  end_id = load<u32>(ptr, 20);
  begin_id = load<u32>(ptr, 24);
  unknown_id = load<u32>(ptr, 36);
  closing_ids = load<i32>(ptr, 40);
  pair_ids = load<i32>(ptr, 44);
  memory.copy(byte_ids, ptr + 52, 4 * 256);
  make_pairs(merges);
  for (let i: u32 = 0; i < merges; i++)
    add_pair(load<u32>(left + ((<usize>i) << 2)), load<u32>(right + ((<usize>i) << 2)), i);
  size = ids;
  added_count = added;
  whole_count = whole;
  return true;
}

/**
 * Loads the tables at `ptr` (forms: top of this file), a block of `alloc` that belongs to this module from then on; in
 * the second form 16 bytes follow the last token. Returns the number of ids, or -1 if the form is invalid. Must be
 * called once, before any other function of this file.
 */
export function load_tables(ptr: usize, length: i32): i32 {
  if (length < 4) return -1;
  const magic = load<u32>(ptr);
  if (magic == GPT2_MAGIC) {
    if (!load_gpt2(ptr, <usize>length)) return -1;
    heap.free(ptr);
  } else if (magic != OWN_MAGIC || !load_own(ptr, <usize>length)) return -1;
  if (kind == KIND_BPE) byte_ranks = heap.alloc(4 << 16);
  for (let two: u32 = 0; kind == KIND_BPE && two < 1 << 16; two++)
    store<u32>(byte_ranks + ((<usize>two) << 2), pair_rank(byte_id(<u8>(two >> 8)), byte_id(<u8>two)));
  for (let id: u32 = 0; id < size; id++) longest = max(longest, token_length(id));
  return <i32>size;
}

/**
 * The number of bytes that the `count` u32 ids at `ids` decode to, at most i32.MAX_VALUE (too many for one call), or
 * -(index + 1) of the first id that is not in the vocabulary.
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
 * Writes the bytes of the `count` u32 ids at `ids` to `out`. Returns their number, or -(index + 1) of the first id that
 * is not in the vocabulary or whose bytes exceed `capacity` (`decoded_length` is always sufficient).
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
