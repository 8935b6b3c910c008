// The objects of a JSON array, found by their braces, as a state machine that can stop between any two bytes.
import { ERROR_ARRAY, ERROR_OPEN_ARRAY, ERROR_ROW_SIZE, ERROR_TOO_LARGE, fail, MAX_ROW_BYTES } from "./row-error";
import { VEC_HEADER, vec_append, vec_data, vec_resize, vec_size } from "./vec";

const LF: u8 = 10;
const QUOTE: u8 = 34;
const COMMA: u8 = 44;
const OPEN_ARRAY: u8 = 91;
const BACKSLASH: u8 = 92;
const CLOSE_ARRAY: u8 = 93;
const OPEN: u8 = 123;
const CLOSE: u8 = 125;

/** What comes next, outside of objects. */
const ARRAY: i32 = 0;
const FIRST: i32 = 1; // an object, or the end
const NEXT: i32 = 2; // an object
const AFTER: i32 = 3; // a comma, or the end
const NOTHING: i32 = 4;

const buffer = memory.data(VEC_HEADER);
let state: i32 = ARRAY;
/** Open braces and brackets of the object. */
let depth: i32 = 0;
let quoted: bool = false;
let escaped: bool = false;
let ended: bool = false;
/** The line, its bytes so far, and where the object begins. */
let line: i32 = 1;
let column: i32 = 0;
let first_line: i32 = 1;
let first_column: i32 = 0;

export function array_begin(): void {
  vec_resize(buffer, 0);
  state = ARRAY;
  depth = 0;
  quoted = false;
  escaped = false;
  ended = false;
  line = 1;
  column = 0;
}

/** Reads bytes up to the end of an object, an error or the end of the bytes; returns the address after the last. */
export function array_scan(at: usize, end: usize): usize {
  if (ended) vec_resize(buffer, 0);
  ended = false;
  let start = at;
  while (at < end && !ended) {
    const c = load<u8>(at);
    if (depth > 0) within(c);
    else if (!between(c)) return end;
    else if (depth > 0) start = at;
    column++;
    if (c == LF) {
      line++;
      column = 0;
    }
    at++;
  }
  return (depth > 0 || ended) && !push(start, <i32>(at - start)) ? end : at;
}

/** Reads a byte of an object. */
function within(c: u8): void {
  if (escaped) escaped = false;
  else if (quoted && c == BACKSLASH) escaped = true;
  else if (c == QUOTE) quoted = !quoted;
  else if (!quoted && (c == OPEN || c == OPEN_ARRAY)) depth++;
  else if (!quoted && (c == CLOSE || c == CLOSE_ARRAY)) depth--;
  ended = depth == 0;
}

/** Reads a byte outside of objects; false on an error. */
function between(c: u8): bool {
  if (c == 32 || (c >= 9 && c <= 13)) return true;
  if (c == OPEN && (state == FIRST || state == NEXT)) {
    depth = 1;
    first_line = line;
    first_column = column;
    state = AFTER;
  } else if (c == OPEN_ARRAY && state == ARRAY) state = FIRST;
  else if (c == COMMA && state == AFTER) state = NEXT;
  else if (c == CLOSE_ARRAY && (state == FIRST || state == AFTER)) state = NOTHING;
  else return fail(ERROR_ARRAY, line, column + 1, c);
  return true;
}

/** Appends bytes to the object, within the limits. */
function push(source: usize, length: i32): bool {
  if (vec_size(buffer) + length > MAX_ROW_BYTES) return fail(ERROR_ROW_SIZE, first_line, MAX_ROW_BYTES, 0);
  return vec_append(buffer, source, length) || fail(ERROR_TOO_LARGE, first_line, 0, 0);
}

/** Ends the file. */
export function array_finish(): void {
  ended = false;
  if (state != NOTHING) fail(ERROR_OPEN_ARRAY, depth > 0 ? first_line : line, depth > 0 ? 1 : 0, 0);
}

/** Whether the last call completed an object. */
export function object_ended(): bool {
  return ended;
}

/** The bytes of the completed object, its line and the bytes before it on that line. */
export function object_address(): usize {
  return vec_data(buffer);
}
export function object_bytes(): i32 {
  return vec_size(buffer);
}
export function object_line(): i32 {
  return first_line;
}
export function object_column(): i32 {
  return first_column;
}
