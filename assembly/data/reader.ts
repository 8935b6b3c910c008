// Reads a file that is fed in chunks: `read_begin`, `read_settings` or `read_sample`, `feed` ..., `finish`. One file at
// a time; its rows are added to those of earlier files, or with `read_texts` handed to the host. Memory: the rows, and
// one current row.
import {
  array_begin,
  array_finish,
  array_scan,
  object_address,
  object_bytes,
  object_column,
  object_ended,
  object_line,
} from "./array";
import { csv_begin, csv_finish, csv_row_ended, csv_scan, csv_take_line } from "./csv";
import { field_address, field_count, field_length, field_total, fields_clear, fields_keep, row_memory } from "./fields";
import { line_address, line_bytes, line_ended, line_number, lines_begin, lines_finish, lines_scan } from "./lines";
import { has_text, label_member, object_all, object_keys, object_read, text_member } from "./object";
import {
  clear_error,
  ERROR_FIELD_COUNT,
  ERROR_NO_KEY,
  ERROR_TOO_LARGE,
  ERROR_VALUE,
  error_code,
  fail,
  fail_row,
  tolerate,
} from "./row-error";
import { accept_empty_labels, add_row, is_utf8 } from "./rows";
import { tsv_split } from "./tsv";
import { VEC_HEADER, vec_append, vec_data, vec_push_u32, vec_resize, vec_size } from "./vec";

const CSV: i32 = 0;
const TSV: i32 = 1;
const JSON_ARRAY: i32 = 3;

/** A sample ends after this many bytes, even if it has too few rows. */
const SAMPLE_BYTES: i32 = 1 << 20;

const BYTE_ORDER_MARK: u32 = 0xbfbbef;
const mark = memory.data(4);

let format: i32 = CSV;
let mark_seen: i32 = 0;

let width: i32 = 0;
let text_field: i32 = 0;
let label_field: i32 = 0;
let skip: i32 = 0;
let max_length: i32 = 0;
let learn: bool = false;

/** Rows still needed for a sample, -1 if rows are added; u32 per sample row: its fields and those of earlier rows. */
let wanted: i32 = -1;
let sampled_bytes: i32 = 0;
const sample_ends = memory.data(VEC_HEADER);

/** With `read_texts`, what the last chunk completed: the values of the rows, and three ends a row (see `text_ends`). */
let collects: bool = false;
const collected = memory.data(VEC_HEADER);
const collected_ends = memory.data(VEC_HEADER);
/** The address and length of the current chunk, and how much of it was read when the last row ended. */
let chunk: usize = 0;
let chunk_bytes: i32 = 0;
let ended_at: i32 = 0;

/** Begins a file: `kind` is 0 CSV, 1 TSV, 2 JSON lines, 3 a JSON array; `separator` is the byte between CSV fields. */
export function read_begin(kind: i32, separator: i32): void {
  format = kind;
  mark_seen = 0;
  store<u32>(mark, BYTE_ORDER_MARK);
  clear_error();
  csv_begin(<u8>separator);
  lines_begin();
  array_begin();
  fields_clear();
  vec_resize(sample_ends, 0);
  sampled_bytes = 0;
  wanted = -1;
  collects = false;
}

/** Collects a sample of at most `count` rows for the host; `feed` returns 0 when it is complete. */
export function read_sample(count: i32): void {
  wanted = count;
  object_all();
}

/**
 * Adds the rows, except the first `skipped` ones: each has `fields` fields, two of which are text and label. In JSON,
 * `read_keys` names text and label instead. `fresh`: accept new labels (1), also empty ones (2). `tolerant` is 0 or 1:
 * skip invalid rows.
 */
export function read_settings(
  fields: i32,
  text: i32,
  label: i32,
  skipped: i32,
  longest: i32,
  fresh: i32,
  tolerant: i32,
): void {
  width = fields;
  text_field = text;
  label_field = label;
  skip = skipped;
  max_length = longest;
  learn = fresh != 0;
  accept_empty_labels(fresh == 2);
  tolerate(tolerant != 0);
}

/**
 * Collects the texts of the rows, the header's as an empty one, instead of adding the rows. With each comes the value
 * in the place of the label, unless that is the text's own.
 */
export function read_texts(): void {
  collects = true;
}

/** Sets the keys of text and label, or the paths to them: `text_bytes` + `label_bytes` bytes at `names`. */
export function read_keys(names: usize, text_bytes: i32, label_bytes: i32): void {
  object_keys(names, text_bytes, label_bytes);
}

/** Reads bytes; returns 1 to continue, 0 if a sample is complete or an error is set. */
export function feed(bytes: usize, length: i32): i32 {
  vec_resize(collected, 0);
  vec_resize(collected_ends, 0);
  chunk = bytes;
  chunk_bytes = length;
  let at = bytes;
  const end = bytes + length;
  while (mark_seen < 3 && at < end) {
    if (load<u8>(at) != load<u8>(mark + mark_seen)) {
      end_mark();
      break;
    }
    mark_seen++;
    at++;
  }
  scan(at, end);
  return error_code() == 0 && wanted != 0 ? 1 : 0;
}

/** Ends the file. */
export function finish(): void {
  if (mark_seen < 3) end_mark();
  if (error_code() != 0 || wanted == 0) return;
  if (format == CSV) csv_finish();
  else if (format == JSON_ARRAY) array_finish();
  else lines_finish();
  ended_at = chunk_bytes;
  take();
}

/** The file does not begin with a byte order mark: passes the bytes that looked like one to the scanner. */
function end_mark(): void {
  const seen = mark_seen;
  mark_seen = 3;
  scan(mark, mark + seen);
}

function scan(at: usize, end: usize): void {
  while (at < end && error_code() == 0 && wanted != 0) {
    if (format == CSV) at = csv_scan(at, end);
    else if (format == JSON_ARRAY) at = array_scan(at, end);
    else at = lines_scan(at, end);
    ended_at = <i32>(at - chunk);
    take();
  }
}

/** Processes the row that the scanner has completed, if any. */
function take(): void {
  if (error_code() != 0) return;
  if (format == CSV) {
    if (csv_row_ended()) take_fields(csv_take_line());
    return;
  }
  const array = format == JSON_ARRAY;
  if (array ? !object_ended() : !line_ended()) return;
  const line = array ? object_line() : line_number();
  let row: bool;
  if (array) row = object_read(object_address(), object_bytes(), line, object_column());
  else if (format == TSV) row = tsv_split(line_address(), line_bytes());
  else row = object_read(line_address(), line_bytes(), line, 0);
  if (row) take_fields(line);
  else if (wanted < 0) fields_clear();
}

function take_fields(line: i32): void {
  if (wanted > 0) {
    sampled_bytes += row_memory();
    fields_keep();
    vec_push_u32(sample_ends, field_total());
    wanted = sampled_bytes > SAMPLE_BYTES ? 0 : wanted - 1;
    return;
  }
  if (skip > 0) {
    skip--;
    if (collects) collect(0, 0, 0, 0, line);
  } else if (format == CSV || format == TSV) take_columns(line);
  else take_members(line);
  fields_clear();
}

function take_columns(line: i32): void {
  if (field_count() != width) fail_row(ERROR_FIELD_COUNT, line, width, field_count());
  else take_row(text_field, label_field, line);
}

function take_members(line: i32): void {
  const text = text_member();
  const label = label_member();
  if (text < 0 || label < 0) fail_row(ERROR_NO_KEY, line, text < 0 ? 0 : 1, 0);
  else if (!has_text(text) || !has_text(label)) fail_row(ERROR_VALUE, line, has_text(text) ? 1 : 0, 0);
  else take_row(2 * text + 1, 2 * label + 1, line);
}

function take_row(text: i32, label: i32, line: i32): void {
  const length = field_length(text);
  const label_length = field_length(label);
  if (!collects) add_row(field_address(text), length, field_address(label), label_length, line, max_length, learn);
  else collect(field_address(text), length, field_address(label), label == text ? 0 : label_length, line);
}

function collect(text: usize, length: i32, value: usize, value_length: i32, line: i32): void {
  if (!is_utf8(text, length, 0, line) || !is_utf8(value, value_length, 1, line)) return;
  if (!keep(text, length) || !keep(value, value_length) || !vec_push_u32(collected_ends, ended_at))
    fail(ERROR_TOO_LARGE, line, 0, 0);
}

function keep(bytes: usize, length: i32): bool {
  return vec_append(collected, bytes, length) && vec_push_u32(collected_ends, vec_size(collected));
}

/** The number of collected rows, the addresses of their bytes and of u32 per row: ends of text, other value, row. */
export function text_count(): i32 {
  return vec_size(collected_ends) / 12;
}
export function text_bytes(): usize {
  return vec_data(collected);
}
export function text_ends(): usize {
  return vec_data(collected_ends);
}

/** The number of rows in the sample, and the address of u32 per row: its fields and those of earlier rows. */
export function sample_count(): i32 {
  return vec_size(sample_ends) >> 2;
}
export function sample_rows(): usize {
  return vec_data(sample_ends);
}
