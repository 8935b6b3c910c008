// The first fault of a file, or those of rows that are left out: a code, the line where it is and two numbers. The host
// makes the message.
import { VEC_HEADER, vec_data, vec_push_u32, vec_resize, vec_size } from "./vec";

/** Codes of faults; src/data/faults.ts names them again. What the two numbers are stands behind each. */
export const FAULT_FIELD_COUNT: i32 = 1; // expected, found
export const FAULT_OPEN_QUOTE: i32 = 2; // line of the opening quote, -
export const FAULT_AFTER_QUOTE: i32 = 3; // field (from 1), byte after the closing quote
export const FAULT_ROW_SIZE: i32 = 4; // largest number of bytes, -
export const FAULT_JSON: i32 = 5; // byte of the line (from 1), byte found or -1 at the end of the line
export const FAULT_NO_KEY: i32 = 6; // 0 text, 1 label; -
export const FAULT_VALUE: i32 = 7; // 0 text, 1 label; -
export const FAULT_LABEL: i32 = 8; // address and bytes of an unknown label
export const FAULT_EMPTY_LABEL: i32 = 9; // -
export const FAULT_TOO_LARGE: i32 = 10; // -

/** Longest row in bytes: an unclosed quote must not swallow a file into memory. */
export const MAX_ROW_BYTES: i32 = 16 << 20;

/** Rows that are left out and told of one by one. */
const MAX_NOTED: i32 = 100;

let tolerant: bool = false;
let left_out: i32 = 0;
const noted = memory.data(VEC_HEADER);

let code: i32 = 0;
let line: i32 = 0;
let first: i32 = 0;
let second: i32 = 0;

/** Notes a fault where there is none yet; returns false, so that a caller can return the call. */
export function fail(fault: i32, where: i32, a: i32, b: i32): bool {
  if (code == 0) {
    code = fault;
    line = where;
    first = a;
    second = b;
  }
  return false;
}

/** A fault of one row alone: where such rows may be left out, this one is, and the reader goes on. */
export function fail_row(fault: i32, where: i32, a: i32, b: i32): bool {
  if (!tolerant) return fail(fault, where, a, b);
  if (left_out++ < MAX_NOTED) {
    vec_push_u32(noted, fault);
    vec_push_u32(noted, where);
    vec_push_u32(noted, a);
    vec_push_u32(noted, b);
  }
  return false;
}

export function clear_fault(): void {
  code = 0;
  tolerate(false);
}

/** Whether rows may be left out from now on; forgets those that were. */
export function tolerate(on: bool): void {
  tolerant = on;
  left_out = 0;
  vec_resize(noted, 0);
}

/** Rows that were left out. */
export function left_out_count(): i32 {
  return left_out;
}

/** Code, line and two numbers of each of the first of them, as u32; how many words these are. */
export function left_out_faults(): usize {
  return vec_data(noted);
}
export function left_out_words(): i32 {
  return vec_size(noted) >> 2;
}

/** The code of the fault, 0 where there is none. */
export function fault_code(): i32 {
  return code;
}

/** The line of the fault, from 1. */
export function fault_line(): i32 {
  return line;
}

/** The fault's first number. */
export function fault_first(): i32 {
  return first;
}

/** The fault's second number. */
export function fault_second(): i32 {
  return second;
}
