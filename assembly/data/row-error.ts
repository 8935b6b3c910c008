// The error of a file, or those of skipped rows: a code, the line and two numbers. The host composes the message.

/** Columns of a row, also defined in src/data/table/row-errors.ts. */
export const COLUMN_TEXT: i32 = 0;
export const COLUMN_LABEL: i32 = 1;
export const COLUMN_SECOND: i32 = 2; // the second text of a pair

import { VEC_HEADER, vec_data, vec_push_u32, vec_resize, vec_size } from "./vec";

export * from "./generated/numbers";

/** Longest row in bytes: an unclosed quote must not load a whole file into memory. */
export const MAX_ROW_BYTES: i32 = 16 << 20;

/** Most skipped rows that are reported individually. */
const MAX_NOTED: i32 = 100;

let tolerant: bool = false;
let left_out: i32 = 0;
const noted = memory.data(VEC_HEADER);

let code: i32 = 0;
let line: i32 = 0;
let first: i32 = 0;
let second: i32 = 0;

/** Sets the error unless one is set already; returns false, for the caller to return. */
export function fail(error: i32, where: i32, a: i32, b: i32): bool {
  if (code == 0) {
    code = error;
    line = where;
    first = a;
    second = b;
  }
  return false;
}

/** Reports an error that affects only one row: if invalid rows are skipped, the reader continues. */
export function fail_row(error: i32, where: i32, a: i32, b: i32): bool {
  if (!tolerant) return fail(error, where, a, b);
  if (left_out++ < MAX_NOTED) {
    vec_push_u32(noted, error);
    vec_push_u32(noted, where);
    vec_push_u32(noted, a);
    vec_push_u32(noted, b);
  }
  return false;
}

export function clear_error(): void {
  code = 0;
  tolerate(false);
}

/** Sets whether invalid rows are skipped; clears the list of skipped rows. */
export function tolerate(on: bool): void {
  tolerant = on;
  left_out = 0;
  vec_resize(noted, 0);
}

/** The number of skipped rows. */
export function left_out_count(): i32 {
  return left_out;
}

/** Code, line and two numbers for each of the first skipped rows, as u32; and the number of words. */
export function left_out_errors(): usize {
  return vec_data(noted);
}
export function left_out_words(): i32 {
  return vec_size(noted) >> 2;
}

/** The code of the error, 0 if there is none. */
export function error_code(): i32 {
  return code;
}

/** The line of the error, from 1. */
export function error_line(): i32 {
  return line;
}

/** The error's first number. */
export function error_first(): i32 {
  return first;
}

/** The error's second number. */
export function error_second(): i32 {
  return second;
}
