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
import {
  end_field,
  field_address,
  field_count,
  field_length,
  field_total,
  fields_clear,
  fields_cut,
  fields_keep,
  push_bytes,
  row_is_blank,
  row_memory,
} from "./fields";
import { FORMAT_ARRAY, FORMAT_CELLS, FORMAT_CSV, FORMAT_TSV } from "./generated/numbers";
import { line_address, line_bytes, line_ended, line_number, lines_begin, lines_finish, lines_scan } from "./lines";
import { has_text, object_all, object_keys, object_member, object_read } from "./object";
import {
  COLUMN_LABEL,
  COLUMN_SECOND,
  COLUMN_TEXT,
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
import { accept_empty_labels, add_row, is_utf8, row_value } from "./rows";
import { tsv_split } from "./tsv";
import {
  VEC_HEADER,
  vec_append,
  vec_data,
  vec_push_u8,
  vec_push_u32,
  vec_resize,
  vec_set_u32,
  vec_size,
  vec_u32,
} from "./vec";

/** A sample ends after this many bytes, even if it has too few rows. */
const SAMPLE_BYTES: i32 = 1 << 20;

/** Between the cells of several columns of labels: LIST_SEPARATOR of src/data/places.ts. */
const LABEL_JOINT: u8 = 0x1f;

const BYTE_ORDER_MARK: u32 = 0xbfbbef;
const mark = memory.data(4);

let format: i32 = FORMAT_CSV;
let mark_seen: i32 = 0;

let width: i32 = 0;
/** Fields of text, label and second text, by column; a row without a second text has two columns. */
const fields = memory.data(12);
let columns: i32 = 0;
/** u32 fields of the labels behind the first, where each has a column, and the cells of a row as one label. */
const more_labels = memory.data(VEC_HEADER);
const joined = memory.data(VEC_HEADER);
let skip: i32 = 0;
let max_length: i32 = 0;
let learn: bool = false;

/** Rows still needed for a sample, -1 if rows are added; u32 per sample row: its fields and those of earlier rows. */
let wanted: i32 = -1;
let sampled_bytes: i32 = 0;
const sample_ends = memory.data(VEC_HEADER);

/** With `read_texts`, what the last chunk completed: the texts of the rows, and three ends a row (see `text_ends`). */
let collects: bool = false;
const collected = memory.data(VEC_HEADER);
const collected_ends = memory.data(VEC_HEADER);
/** The address and length of the current chunk, and how much of it was read when the last row ended. */
let chunk: usize = 0;
let chunk_bytes: i32 = 0;
let ended_at: i32 = 0;

/** Begins a file: `kind` is one of FORMAT_*; `separator` is the byte between CSV fields. */
export function read_begin(kind: i32, separator: i32): void {
  format = kind;
  mark_seen = kind == FORMAT_CELLS ? 3 : 0;
  store<u32>(mark, BYTE_ORDER_MARK);
  clear_error();
  csv_begin(<u8>separator);
  lines_begin();
  array_begin();
  fields_clear();
  vec_resize(sample_ends, 0);
  vec_resize(more_labels, 0);
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
 * Adds the rows, except the first `skipped` ones: each has `count` fields, among them text, label and, unless it is -1,
 * a second text. In JSON, `read_keys` names them instead. `fresh`: accept new labels (1), also empty ones (2).
 * `tolerant` is 0 or 1: skip invalid rows.
 */
export function read_settings(
  count: i32,
  text: i32,
  label: i32,
  second: i32,
  skipped: i32,
  longest: i32,
  fresh: i32,
  tolerant: i32,
): void {
  width = count;
  columns = second < 0 ? 2 : 3;
  set_field(COLUMN_TEXT, text);
  set_field(COLUMN_LABEL, label);
  set_field(COLUMN_SECOND, second);
  skip = skipped;
  max_length = longest;
  learn = fresh != 0;
  accept_empty_labels(fresh == 2);
  tolerate(tolerant != 0);
}

/**
 * Joins `count` further fields, u32 at `list`, to the label, with LABEL_JOINT between them; in JSON their keys are behind
 * those of three columns. To be called between `read_begin` and the first `feed`.
 */
export function read_labels(list: usize, count: i32): void {
  vec_resize(more_labels, 0);
  vec_append(more_labels, list, count << 2);
}

/** Collects the texts of the rows, the header's as an empty one, instead of adding the rows. */
export function read_texts(): void {
  collects = true;
}

/**
 * Sets the keys of text, label and, with three columns, the second text, or the paths to them: `bytes` at `names`, and
 * u32 per column at `lengths`.
 */
export function read_keys(names: usize, bytes: i32, lengths: usize, count: i32): void {
  object_keys(names, bytes, lengths, count);
}

function field(column: i32): i32 {
  return load<i32>(fields + ((<usize>column) << 2));
}
function set_field(column: i32, index: i32): void {
  store<i32>(fields + ((<usize>column) << 2), index);
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
  if (format == FORMAT_CSV) csv_finish();
  else if (format == FORMAT_ARRAY) array_finish();
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
    if (format == FORMAT_CELLS) {
      at = take_cells(at);
      continue;
    }
    if (format == FORMAT_CSV) at = csv_scan(at, end);
    else if (format == FORMAT_ARRAY) at = array_scan(at, end);
    else at = lines_scan(at, end);
    ended_at = <i32>(at - chunk);
    take();
  }
}

/** Processes the row that the scanner has completed, if any. */
function take(): void {
  if (error_code() != 0) return;
  if (format == FORMAT_CSV) {
    if (csv_row_ended()) take_fields(csv_take_line());
    return;
  }
  const array = format == FORMAT_ARRAY;
  if (array ? !object_ended() : !line_ended()) return;
  const line = array ? object_line() : line_number();
  let row: bool;
  if (array) row = object_read(object_address(), object_bytes(), line, object_column());
  else if (format == FORMAT_TSV) row = tsv_split(line_address(), line_bytes());
  else row = object_read(line_address(), line_bytes(), line, 0);
  if (row) take_fields(line);
  else if (wanted < 0) fields_clear();
}

/**
 * Whether the row is to be skipped as a blank line is: spreadsheets write empty rows with their separators. Of a table
 * whose rows are handed to the host each has its place, unless it has none of the columns.
 */
function is_skipped(): bool {
  if ((format != FORMAT_CSV && format != FORMAT_TSV) || !row_is_blank()) return false;
  return !collects || skip > 0 || field_count() != width;
}

function take_fields(line: i32): void {
  if (is_skipped()) {
    fields_cut(0);
    return;
  }
  if (wanted > 0) {
    sampled_bytes += row_memory();
    fields_keep();
    vec_push_u32(sample_ends, field_total());
    wanted = sampled_bytes > SAMPLE_BYTES ? 0 : wanted - 1;
    return;
  }
  if (skip > 0) {
    skip--;
    if (collects) collect(0, line);
  } else if (format == FORMAT_CSV || format == FORMAT_TSV) take_columns(line);
  else take_members(line);
  fields_clear();
}

/**
 * Takes a row of cells, as src/data/table/cells.ts writes it: u32 of its number, and for each of text, label, second text
 * and further labels i32 of its bytes, -1 for no text, and these. Chunks have whole rows. Returns the address behind it.
 */
function take_cells(at: usize): usize {
  const row = load<i32>(at);
  let missing = -1;
  at += 4;
  for (let i = 0; i < width; i++) {
    const bytes = load<i32>(at);
    at += 4;
    if (bytes >= 0) {
      push_bytes(at, bytes);
      at += bytes;
    } else if (missing < 0) missing = i;
    end_field();
  }
  // Without second texts the further labels have the next numbers all the same.
  if (missing < 0) take_row(row);
  else fail_row(ERROR_VALUE, row, missing + <i32>(missing > COLUMN_LABEL && columns == 2), 0);
  fields_clear();
  return at;
}

function take_columns(line: i32): void {
  if (field_count() != width) fail_row(ERROR_FIELD_COUNT, line, width, field_count());
  else take_row(line);
}

function take_members(line: i32): void {
  for (let column = 0; column < columns; column++) {
    const member = object_member(column);
    if (member < 0 || !has_text(member)) {
      fail_row(member < 0 ? ERROR_NO_KEY : ERROR_VALUE, line, column, 0);
      return;
    }
    set_field(column, 2 * member + 1);
  }
  for (let i = 0; i < label_columns(); i++) {
    const column = COLUMN_SECOND + 1 + i;
    const member = object_member(column);
    if (member < 0 || !has_text(member)) {
      fail_row(member < 0 ? ERROR_NO_KEY : ERROR_VALUE, line, column, 0);
      return;
    }
    vec_set_u32(more_labels, i, 2 * member + 1);
  }
  take_row(line);
}

/** Columns of labels behind the first. */
function label_columns(): i32 {
  return vec_size(more_labels) >> 2;
}

/** Makes the cells of all columns of labels the row's label; false with an error set. */
function join_labels(line: i32): bool {
  vec_resize(joined, 0);
  for (let i = 0; i <= label_columns(); i++) {
    const index = i == 0 ? field(COLUMN_LABEL) : <i32>vec_u32(more_labels, i - 1);
    if (i > 0 && !vec_push_u8(joined, LABEL_JOINT)) return fail(ERROR_TOO_LARGE, line, 0, 0);
    if (!vec_append(joined, field_address(index), field_length(index))) return fail(ERROR_TOO_LARGE, line, 0, 0);
  }
  const value = row_value(COLUMN_LABEL);
  store<usize>(value, vec_data(joined));
  store<i32>(value, vec_size(joined), 4);
  return is_utf8(vec_data(joined), vec_size(joined), COLUMN_LABEL, line);
}

function take_row(line: i32): void {
  for (let column = 0; column < columns; column++) {
    const index = field(column);
    const value = row_value(column);
    store<usize>(value, field_address(index));
    store<i32>(value, field_length(index), 4);
    if (!is_utf8(load<usize>(value), load<i32>(value, 4), column, line)) return;
  }
  if (label_columns() > 0 && !join_labels(line)) return;
  if (collects) collect(columns, line);
  else add_row(columns > COLUMN_SECOND, line, max_length, learn);
}

/** Collects the texts among the first `count` columns, an empty second one where there is none. */
function collect(count: i32, line: i32): void {
  let kept = true;
  for (let column = COLUMN_TEXT; column <= COLUMN_SECOND; column++) {
    if (column == COLUMN_LABEL) continue;
    const value = row_value(column);
    if (column < count) kept = vec_append(collected, load<usize>(value), load<i32>(value, 4)) && kept;
    kept = vec_push_u32(collected_ends, vec_size(collected)) && kept;
  }
  if (!vec_push_u32(collected_ends, ended_at) || !kept) fail(ERROR_TOO_LARGE, line, 0, 0);
}

/** The number of collected rows, the addresses of their bytes and of u32 per row: ends of text, second text, row. */
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
