// The rows that were read: token ids, class and lengths. A row is a record in a pile,
//
//     u32 class | u32 ids kept | u32 ids of the text, n (0: empty text) | u16 id[max(n, 1)]
//
// No text is kept: its ids give it back byte for byte, in less than half of its memory. GPT-2's 50257 ids fit into 16 bits.
import { encode } from "./bpe";
import { label_add, label_id, labels_clear, labels_settle } from "./labels";
import { PILE_HEADER, pile_free, pile_put } from "./pile";
import { ERROR_EMPTY_LABEL, ERROR_LABEL, ERROR_TOO_LARGE, fail, fail_row } from "./row-error";
import { utf8_faults, utf8_repair } from "./utf8";
import { VEC_HEADER, vec_data, vec_free, vec_push_u32, vec_reserve, vec_resize, vec_size, vec_u32 } from "./vec";
import { decode, decoded_length } from "./vocabulary";

/** GPT-2's <|endoftext|>: stands for an empty text, and fills padded rows. */
export const END_OF_TEXT: u16 = 50256;

/** Bytes of a record before its ids. */
const RECORD_BYTES: u32 = 12;

const records = memory.data(PILE_HEADER);
/** The records by row number: blocks of 2^BLOCK_BITS u32 addresses, and the vector of the blocks. */
const BLOCK_BITS: i32 = 16;
const blocks = memory.data(VEC_HEADER);
let rows: i32 = 0;

/** Scratch: a text or label with its invalid UTF-8 replaced, or a text made again; and the u32 ids of a text. */
const repaired = memory.data(VEC_HEADER);
const encoded = memory.data(VEC_HEADER);

let invalid: i32 = 0;

/** Forgets all rows and labels and gives their memory back. */
export function rows_clear(): void {
  pile_free(records);
  const count = vec_size(blocks) >> 2;
  for (let i = 0; i < count; i++) heap.free(<usize>vec_u32(blocks, i));
  vec_free(blocks);
  vec_free(repaired);
  vec_free(encoded);
  labels_clear();
  rows = 0;
  invalid = 0;
}

/** The number of rows. */
export function row_count(): i32 {
  return rows;
}

/** Invalid UTF-8 sequences replaced in texts and labels so far. */
export function invalid_count(): i32 {
  return invalid;
}

function record(row: i32): usize {
  const block = <usize>vec_u32(blocks, row >> BLOCK_BITS);
  return <usize>load<u32>(block + ((<usize>(row & ((1 << BLOCK_BITS) - 1))) << 2));
}

/** Where the ids of `row` stand, and how many of them are kept. */
export function row_ids(row: i32): usize {
  return record(row) + RECORD_BYTES;
}
export function row_length(row: i32): i32 {
  return load<i32>(record(row), 4);
}

/** The class of `row`. */
export function row_class(row: i32): i32 {
  return load<i32>(record(row));
}

/** Tokens of `row` before it was cut; 0 where its text was empty. */
export function row_full_length(row: i32): i32 {
  return load<i32>(record(row), 8);
}

/** Makes the text of `row` again: the address of its UTF-8 bytes, good until the next text. `row_text_bytes` says how many. */
export function row_text(row: i32): usize {
  const count = row_full_length(row);
  const source = row_ids(row);
  vec_resize(encoded, 0);
  vec_resize(repaired, 0);
  // Both were as large when the row was added.
  vec_reserve(encoded, (<u32>count) << 2);
  const ids = vec_data(encoded);
  for (let i = 0; i < count; i++) store<u32>(ids + ((<usize>i) << 2), load<u16>(source + ((<usize>i) << 1)));
  const bytes = decoded_length(ids, count);
  vec_reserve(repaired, bytes);
  vec_resize(repaired, decode(ids, count, vec_data(repaired), bytes));
  return vec_data(repaired);
}
export function row_text_bytes(): i32 {
  return vec_size(repaired);
}

// What `valid` found: address and bytes of the text, itself or its repaired copy.
let valid_address: usize = 0;
let valid_bytes: i32 = 0;

/** Replaces and counts invalid UTF-8. */
function valid(text: usize, length: i32): bool {
  const errors = utf8_faults(text, length);
  valid_address = text;
  valid_bytes = length;
  if (errors == 0) return true;
  invalid += errors;
  vec_resize(repaired, 0);
  if (!vec_reserve(repaired, 3 * length)) return false;
  valid_address = vec_data(repaired);
  valid_bytes = utf8_repair(text, length, valid_address);
  return true;
}

function is_space(c: u8): bool {
  return c == 32 || (c >= 9 && c <= 13);
}

/** The class of a label, white space around it aside; -1 with an error noted. Adds it where it is new and `learn` holds. */
function class_of(label: usize, length: i32, learn: bool, line: i32): i32 {
  while (length > 0 && is_space(load<u8>(label))) {
    label++;
    length--;
  }
  while (length > 0 && is_space(load<u8>(label + length - 1))) length--;
  if (length == 0) {
    fail_row(ERROR_EMPTY_LABEL, line, 0, 0);
    return -1;
  }
  const fits = valid(label, length);
  const id = !fits ? -1 : learn ? label_add(valid_address, valid_bytes) : label_id(valid_address, valid_bytes);
  if (id < 0) fail(learn ? ERROR_TOO_LARGE : ERROR_LABEL, line, <i32>valid_address, valid_bytes);
  return id;
}

/**
 * Adds a row: tokenizes the text, of which batches have the first `max_length` ids, and finds its label's class. False with
 * an error noted: an empty label, one that is unknown where `learn` does not hold, or rows beyond what memory holds.
 */
export function add_row(
  text: usize,
  text_length: i32,
  label: usize,
  label_length: i32,
  line: i32,
  max_length: i32,
  learn: bool,
): bool {
  const id = class_of(label, label_length, learn, line);
  if (id < 0) return false;
  if (!valid(text, text_length)) return fail(ERROR_TOO_LARGE, line, 0, 0);
  vec_resize(encoded, 0);
  if (!vec_reserve(encoded, 4 * valid_bytes + 4)) return fail(ERROR_TOO_LARGE, line, 0, 0);
  const source = vec_data(encoded);
  const full = encode(valid_address, valid_bytes, source);
  if (full == 0) store<u32>(source, END_OF_TEXT);
  const count = max(full, 1);
  const row = pile_put(records, RECORD_BYTES + ((<u32>count) << 1));
  if (row == 0) return fail(ERROR_TOO_LARGE, line, 0, 0);
  store<i32>(row, id);
  store<i32>(row, min(count, max_length), 4);
  store<i32>(row, full, 8);
  const target = row + RECORD_BYTES;
  for (let i = 0; i < count; i++) store<u16>(target + ((<usize>i) << 1), load<u32>(source + ((<usize>i) << 2)));
  number(row);
  return true;
}

/** Gives the next row's number to a record. */
function number(row: usize): void {
  const place = rows & ((1 << BLOCK_BITS) - 1);
  if (place == 0) vec_push_u32(blocks, <u32>heap.alloc(4 << BLOCK_BITS));
  store<u32>(<usize>vec_u32(blocks, rows >> BLOCK_BITS) + ((<usize>place) << 2), <u32>row);
  rows++;
}

/** Puts the labels into their final order and renames the rows' classes. */
export function settle_labels(): void {
  const ranks = labels_settle();
  if (ranks == 0) return;
  for (let row = 0; row < rows; row++) {
    const at = record(row);
    store<u32>(at, load<u32>(ranks + ((<usize>load<u32>(at)) << 2)));
  }
  heap.free(ranks);
}
