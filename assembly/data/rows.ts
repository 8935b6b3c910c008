// The rows that were read, as columns: token ids, class ids, lengths and, where wanted, the texts' bytes.
import { encode } from "./bpe";
import { FAULT_EMPTY_LABEL, FAULT_LABEL, FAULT_TOO_LARGE, fail } from "./fault";
import { label_add, label_id, labels_clear, labels_settle } from "./labels";
import { utf8_faults, utf8_repair } from "./utf8";
import {
  VEC_HEADER,
  vec_append,
  vec_data,
  vec_free,
  vec_push_u32,
  vec_reserve,
  vec_resize,
  vec_size,
  vec_u32,
} from "./vec";

/** GPT-2's <|endoftext|>: stands for an empty text, and fills padded rows. */
export const END_OF_TEXT: u16 = 50256;

/** u16 ids of all rows; GPT-2's 50257 ids fit. */
const ids = memory.data(VEC_HEADER);
/** u32 a row: where its ids end, its class, its tokens before it was cut (0 for an empty text), where its text ends. */
const id_ends = memory.data(VEC_HEADER);
const classes = memory.data(VEC_HEADER);
const full_lengths = memory.data(VEC_HEADER);
const text_ends = memory.data(VEC_HEADER);
const texts = memory.data(VEC_HEADER);

/** Scratch: a text or label with its invalid UTF-8 replaced, and the u32 ids of a text. */
const repaired = memory.data(VEC_HEADER);
const encoded = memory.data(VEC_HEADER);

let invalid: i32 = 0;

/** Forgets all rows and labels and gives their memory back. */
export function rows_clear(): void {
  vec_free(ids);
  vec_free(id_ends);
  vec_free(classes);
  vec_free(full_lengths);
  vec_free(text_ends);
  vec_free(texts);
  vec_free(repaired);
  vec_free(encoded);
  labels_clear();
  invalid = 0;
}

/** The number of rows. */
export function row_count(): i32 {
  return vec_size(id_ends) >> 2;
}

/** Invalid UTF-8 sequences replaced in texts and labels so far. */
export function invalid_count(): i32 {
  return invalid;
}

/** Where the ids of `row` stand, and how many there are. */
export function row_ids(row: i32): usize {
  return vec_data(ids) + ((<usize>start_of(id_ends, row)) << 1);
}
export function row_length(row: i32): i32 {
  return vec_u32(id_ends, row) - start_of(id_ends, row);
}

/** The class of `row`. */
export function row_class(row: i32): i32 {
  return vec_u32(classes, row);
}

/** Tokens of `row` before it was cut; 0 where its text was empty. */
export function row_full_length(row: i32): i32 {
  return vec_u32(full_lengths, row);
}

/** Where the UTF-8 bytes of the text of `row` stand, and how many there are; 0 where texts are not kept. */
export function row_text(row: i32): usize {
  return vec_data(texts) + start_of(text_ends, row);
}
export function row_text_bytes(row: i32): i32 {
  return vec_u32(text_ends, row) - start_of(text_ends, row);
}

function start_of(ends: usize, row: i32): i32 {
  return row == 0 ? 0 : vec_u32(ends, row - 1);
}

// What `valid` found: address and bytes of the text, itself or its repaired copy.
let valid_address: usize = 0;
let valid_bytes: i32 = 0;

/** Replaces and counts invalid UTF-8. */
function valid(text: usize, length: i32): bool {
  const faults = utf8_faults(text, length);
  valid_address = text;
  valid_bytes = length;
  if (faults == 0) return true;
  invalid += faults;
  vec_resize(repaired, 0);
  if (!vec_reserve(repaired, 3 * length)) return false;
  valid_address = vec_data(repaired);
  valid_bytes = utf8_repair(text, length, valid_address);
  return true;
}

function is_space(c: u8): bool {
  return c == 32 || (c >= 9 && c <= 13);
}

/** The class of a label, white space around it aside; -1 with a fault noted. Adds it where it is new and `learn` holds. */
function class_of(label: usize, length: i32, learn: bool, line: i32): i32 {
  while (length > 0 && is_space(load<u8>(label))) {
    label++;
    length--;
  }
  while (length > 0 && is_space(load<u8>(label + length - 1))) length--;
  if (length == 0) {
    fail(FAULT_EMPTY_LABEL, line, 0, 0);
    return -1;
  }
  const fits = valid(label, length);
  const id = !fits ? -1 : learn ? label_add(valid_address, valid_bytes) : label_id(valid_address, valid_bytes);
  if (id < 0) fail(learn ? FAULT_TOO_LARGE : FAULT_LABEL, line, <i32>valid_address, valid_bytes);
  return id;
}

/**
 * Adds a row: tokenizes the text, keeps its first `max_length` ids and its label's class. False with a fault noted: an
 * empty label, one that is unknown where `learn` does not hold, or rows beyond what memory holds.
 */
export function add_row(
  text: usize,
  text_length: i32,
  label: usize,
  label_length: i32,
  line: i32,
  max_length: i32,
  keep_text: bool,
  learn: bool,
): bool {
  const id = class_of(label, label_length, learn, line);
  if (id < 0) return false;
  if (!valid(text, text_length)) return fail(FAULT_TOO_LARGE, line, 0, 0);
  vec_resize(encoded, 0);
  if (!vec_reserve(encoded, 4 * valid_bytes + 4)) return fail(FAULT_TOO_LARGE, line, 0, 0);
  const source = vec_data(encoded);
  const full = encode(valid_address, valid_bytes, source);
  if (full == 0) store<u32>(source, END_OF_TEXT);
  const kept = min(max(full, 1), max_length);
  if (!vec_reserve(ids, kept << 1)) return fail(FAULT_TOO_LARGE, line, 0, 0);
  const used = vec_size(ids);
  const target = vec_data(ids) + used;
  for (let i = 0; i < kept; i++) store<u16>(target + ((<usize>i) << 1), load<u32>(source + ((<usize>i) << 2)));
  vec_resize(ids, used + (kept << 1));
  const good =
    (!keep_text || vec_append(texts, valid_address, valid_bytes)) &&
    vec_push_u32(text_ends, vec_size(texts)) &&
    vec_push_u32(classes, id) &&
    vec_push_u32(full_lengths, full) &&
    vec_push_u32(id_ends, vec_size(ids) >> 1);
  return good || fail(FAULT_TOO_LARGE, line, 0, 0);
}

/** Puts the labels into their final order and renames the rows' classes. */
export function settle_labels(): void {
  labels_settle(classes, row_count());
}
