// The rows read: token ids, class and lengths. A row is a record in a pile,
//
//     u32 class | u32 ids kept | u32 ids, n (0: empty text) | u32 ids of the first text | id[max(n, 1)]
//
// Ids kept count those before and behind every text, which are not stored, if the vocabulary has such; they alone are an
// empty text, otherwise the end of a text is. A pair of texts has the ids of the first, that of the end of a text, once or
// twice, and those of the second: n is larger than the number of the first. Texts of a BPE are not stored: the ids restore
// them (byte for byte, unless the vocabulary lacks some) and take less than half the memory. Those of other kinds, and
// those behind a prompt, are behind the ids, {u32 bytes of the first, u32 bytes of the second, u8 bytes of both}. Ids are u16
// where the vocabulary's fit, as GPT-2's 50257 do, otherwise u32.
import { encode } from "./encode";
import { is_space } from "./fields";
import { KIND_BPE } from "./generated/numbers";
import { label_add, label_id, labels_clear, labels_settle } from "./labels";
import { most_ids } from "./parts";
import { PILE_HEADER, pile_free, pile_put } from "./pile";
import {
  COLUMN_LABEL,
  COLUMN_SECOND,
  COLUMN_TEXT,
  ERROR_EMPTY_LABEL,
  ERROR_ENCODING,
  ERROR_LABEL,
  ERROR_TOO_LARGE,
  fail,
  fail_row,
} from "./row-error";
import { utf8_fault } from "./utf8";
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
import {
  begin_of_text,
  closing_ids,
  decode,
  decoded_length,
  end_of_text,
  id_shift,
  kind,
  NO_ID,
  pair_ids,
} from "./vocabulary";

/** Bytes of a record before its ids. */
const RECORD_BYTES: u32 = 16;

const records = memory.data(PILE_HEADER);
/** Addresses of the records by row number: blocks of 2^BLOCK_BITS u32, and the vector of the blocks. */
const BLOCK_BITS: i32 = 16;
const blocks = memory.data(VEC_HEADER);
let rows: i32 = 0;

/** Scratch memory: a decoded text, and the u32 ids of a text. */
const decoded = memory.data(VEC_HEADER);
const encoded = memory.data(VEC_HEADER);

/** Clears all rows and labels and frees their memory. */
export function rows_clear(): void {
  pile_free(records);
  const count = vec_size(blocks) >> 2;
  for (let i = 0; i < count; i++) heap.free(<usize>vec_u32(blocks, i));
  vec_free(blocks);
  vec_free(decoded);
  vec_free(encoded);
  labels_clear();
  rows = 0;
}

/** The number of rows. */
export function row_count(): i32 {
  return rows;
}

function record(row: i32): usize {
  const block = <usize>vec_u32(blocks, row >> BLOCK_BITS);
  return <usize>load<u32>(block + ((<usize>(row & ((1 << BLOCK_BITS) - 1))) << 2));
}

/** Ids before and behind every text. */
function frame_ids(): i32 {
  return <i32>(begin_of_text() != NO_ID) + closing_ids;
}

/** The number of ids of `row` that are kept. */
export function row_length(row: i32): i32 {
  return load<i32>(record(row), 4);
}

/** Copies `count` ids of `row` from the one at `first` on to u32 at `out`. */
function copy_ids(out: usize, row: i32, first: i32, count: i32): void {
  const ids = record(row) + RECORD_BYTES + ((<usize>first) << (<usize>id_shift()));
  if (id_shift() == 2) memory.copy(out, ids, (<usize>count) << 2);
  else for (let i = 0; i < count; i++) store<u32>(out + ((<usize>i) << 2), load<u16>(ids + ((<usize>i) << 1)));
}

/**
 * Copies `row`, cut to `count` ids, to u32 at `out`. Of a pair the longer text is cut, or both to equal lengths, of
 * which a text that is longer, or else the second, has the odd id: `longest_first` of the library tokenizers.
 */
export function copy_row(out: usize, row: i32, count: i32): void {
  if (begin_of_text() != NO_ID) {
    store<u32>(out, begin_of_text());
    out += 4;
    if (--count == 0) return;
  }
  if (closing_ids > 0) store<u32>(out + ((<usize>--count) << 2), end_of_text());
  const first = row_first_length(row);
  const second = row_ids(row) - first - pair_ids;
  const most = max(count - pair_ids, 0);
  let kept = count;
  if (second >= 0 && first + second > most)
    kept = first <= second ? min(first, most >> 1) : most - min(second, most >> 1);
  copy_ids(out, row, 0, kept);
  copy_ids(out + ((<usize>kept) << 2), row, first, count - kept);
}

/** The class of `row`. */
export function row_class(row: i32): i32 {
  return load<i32>(record(row));
}

/** Ids of the texts of `row`; 0 if its text was empty. */
function row_ids(row: i32): i32 {
  return load<i32>(record(row), 8);
}

/** Tokens of `row` before truncation, those of an empty text not counted. */
export function row_full_length(row: i32): i32 {
  return row_ids(row) + frame_ids();
}

/** Tokens of the first text of `row`: fewer than all if there is a second. */
function row_first_length(row: i32): i32 {
  return load<i32>(record(row), 12);
}

/** Whether a text of `row` is empty. */
export function row_is_empty(row: i32): bool {
  const first = row_first_length(row);
  const texts = texts_of(record(row), max(row_ids(row), 1));
  if (prompt_bytes > 0) return load<i32>(texts) == 0 || (row_ids(row) > first && load<i32>(texts, 4) == 0);
  return first == 0 || first + pair_ids == row_ids(row);
}

/**
 * Decodes a text of `row`, the first (`part` 0) or the second (1); returns the address of its `row_text_bytes` bytes of
 * UTF-8, valid until the next call.
 */
export function row_text(row: i32, part: i32): usize {
  const first = row_first_length(row);
  if (kind != KIND_BPE || prompt_bytes > 0) return stored_text(row, part);
  const count = part == 0 ? first : row_ids(row) - first - pair_ids;
  vec_resize(encoded, 0);
  vec_resize(decoded, 0);
  // Both buffers were large enough when the row was added.
  vec_reserve(encoded, (<u32>count) << 2);
  const ids = vec_data(encoded);
  copy_ids(ids, row, part == 0 ? 0 : first + pair_ids, count);
  const bytes = decoded_length(ids, count);
  vec_reserve(decoded, bytes);
  vec_resize(decoded, decode(ids, count, vec_data(decoded), bytes));
  return vec_data(decoded);
}

/** Where the texts of `row` are, behind its ids. */
function texts_of(row: usize, count: i32): usize {
  return row + RECORD_BYTES + ((((<usize>count) << id_shift()) + 3) & ~3);
}

/** `row_text` of a kind whose ids do not restore a text. */
function stored_text(row: i32, part: i32): usize {
  const texts = texts_of(record(row), max(row_ids(row), 1));
  const first = load<i32>(texts);
  const bytes = part == 0 ? first : load<i32>(texts, 4);
  vec_resize(decoded, 0);
  vec_reserve(decoded, bytes);
  vec_append(decoded, texts + 8 + (part == 0 ? 0 : first), bytes);
  return vec_data(decoded);
}
export function row_text_bytes(): i32 {
  return vec_size(decoded);
}

/** Whether the value in a column of the row at `line` is valid UTF-8; sets an error of the row if not. */
export function is_utf8(bytes: usize, length: i32, column: i32, line: i32): bool {
  const fault = utf8_fault(bytes, length);
  return fault < 0 || fail_row(ERROR_ENCODING, line, column, load<u8>(bytes + fault));
}

/** Whether a row may have an empty label. */
let empty_labels: bool = false;

export function accept_empty_labels(yes: bool): void {
  empty_labels = yes;
}

/** The class of a label, without surrounding white space; -1 with an error set. Adds a new label if `learn` is set. */
function class_of(label: usize, length: i32, learn: bool, line: i32): i32 {
  while (length > 0 && is_space(load<u8>(label))) {
    label++;
    length--;
  }
  while (length > 0 && is_space(load<u8>(label + length - 1))) length--;
  if (length == 0 && !empty_labels) {
    fail_row(ERROR_EMPTY_LABEL, line, 0, 0);
    return -1;
  }
  const id = learn ? label_add(label, length, line) : label_id(label, length);
  if (id < 0) fail(learn ? ERROR_TOO_LARGE : ERROR_LABEL, line, <i32>label, length);
  return id;
}

/** The values of a row that is added, by column: address and bytes. */
const values = memory.data(24);

/** A text behind the prompt, which is before every text of a row: and the bytes of the prompt. */
const prompted = memory.data(VEC_HEADER);
let prompt_bytes: i32 = 0;

/** Sets the prompt, once. */
export function set_prompt(prompt: usize, bytes: i32): void {
  vec_append(prompted, prompt, bytes);
  prompt_bytes = bytes;
}

/** Encodes a text behind the prompt. */
function encode_text(value: usize, out: usize): i32 {
  vec_resize(prompted, prompt_bytes);
  vec_append(prompted, load<usize>(value), load<i32>(value, 4));
  return encode(vec_data(prompted), vec_size(prompted), out, 0);
}

/** Where the value of a column belongs. */
export function row_value(column: i32): usize {
  return values + ((<usize>column) << 3);
}

/**
 * Adds a row of `row_value`: tokenizes the text, or the texts of a pair, truncated to `max_length` ids in batches, and
 * finds the class of its label. Returns false with an error set for an empty label, for an unknown one unless `learn`
 * is set, and if memory is exhausted.
 */
export function add_row(pair: bool, line: i32, max_length: i32, learn: bool): bool {
  const label = row_value(COLUMN_LABEL);
  const id = class_of(load<usize>(label), load<i32>(label, 4), learn, line);
  if (id < 0) return false;
  const text = row_value(COLUMN_TEXT);
  const second = row_value(COLUMN_SECOND);
  const bytes = load<i32>(text, 4);
  const second_bytes = pair ? load<i32>(second, 4) : 0;
  vec_resize(encoded, 0);
  const most = most_ids(2 * prompt_bytes + bytes + second_bytes);
  if (!vec_reserve(encoded, 4 * most)) return fail(ERROR_TOO_LARGE, line, 0, 0);
  const source = vec_data(encoded);
  const first = encode_text(text, source);
  const next = source + ((<usize>first) << 2);
  store<u32>(next, end_of_text());
  store<u32>(next, end_of_text(), 4);
  const rest = next + ((<usize>pair_ids) << 2);
  const full = first + (pair ? pair_ids + encode_text(second, rest) : 0);
  const count = max(full, 1 - min(frame_ids(), 1));
  const has_texts = kind != KIND_BPE || prompt_bytes > 0;
  const text_bytes = has_texts ? 8 + <u32>bytes + <u32>second_bytes : 0;
  const row = pile_put(records, <u32>texts_of(0, max(count, has_texts ? 1 : 0)) + text_bytes);
  if (row == 0) return fail(ERROR_TOO_LARGE, line, 0, 0);
  store<i32>(row, id);
  store<i32>(row, min(count + frame_ids(), max_length), 4);
  store<i32>(row, full, 8);
  store<i32>(row, first, 12);
  const target = row + RECORD_BYTES;
  if (id_shift() == 2) memory.copy(target, source, (<usize>count) << 2);
  else for (let i = 0; i < count; i++) store<u16>(target + ((<usize>i) << 1), load<u32>(source + ((<usize>i) << 2)));
  if (has_texts) {
    const texts = texts_of(row, max(count, 1));
    store<i32>(texts, bytes);
    store<i32>(texts, second_bytes, 4);
    memory.copy(texts + 8, load<usize>(text), bytes);
    if (pair) memory.copy(texts + 8 + bytes, load<usize>(second), second_bytes);
  }
  number(row);
  return true;
}

/** Appends a record as the next row. */
function number(row: usize): void {
  const place = rows & ((1 << BLOCK_BITS) - 1);
  if (place == 0) vec_push_u32(blocks, <u32>heap.alloc(4 << BLOCK_BITS));
  store<u32>(<usize>vec_u32(blocks, rows >> BLOCK_BITS) + ((<usize>place) << 2), <u32>row);
  rows++;
}

/** Sorts the labels behind the first `kept` and updates the rows' classes. */
export function settle_labels(kept: i32): void {
  const ranks = labels_settle(kept);
  if (ranks == 0) return;
  for (let row = 0; row < rows; row++) {
    const at = record(row);
    store<u32>(at, load<u32>(ranks + ((<usize>load<u32>(at)) << 2)));
  }
  heap.free(ranks);
}
