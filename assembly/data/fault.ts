// The first fault of a file: a code, the line where it is and two numbers. The host makes the message.

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

export function clear_fault(): void {
  code = 0;
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
