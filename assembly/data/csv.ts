// CSV by RFC 4180, with any separator, as a state machine that can stop between any two bytes. Supports quotes, doubled
// quotes and line ends within quotes; rows end with CRLF, LF or CR. A quote in an unquoted field is text. Blank lines
// are skipped.

import { end_field, field_count, push_bytes, row_memory } from "./fields";
import { ERROR_AFTER_QUOTE, ERROR_OPEN_QUOTE, ERROR_ROW_SIZE, ERROR_TOO_LARGE, fail, MAX_ROW_BYTES } from "./row-error";

const LF: u8 = 10;
const CR: u8 = 13;
const QUOTE: u8 = 34;

const FIELD_START: i32 = 0;
const PLAIN: i32 = 1;
const QUOTED: i32 = 2;
const CLOSED: i32 = 3;

let separator: u8 = 44;
let state: i32 = FIELD_START;
let after_cr: bool = false;
let ended: bool = false;
let line: i32 = 1;
let first_line: i32 = 1;
let quote_line: i32 = 1;

export function csv_begin(byte: u8): void {
  separator = byte;
  state = FIELD_START;
  after_cr = false;
  line = 1;
  first_line = 1;
}

/** Whether the last call completed a row, which is then in the fields. */
export function csv_row_ended(): bool {
  return ended;
}

/** The line where the completed row began; the next row begins at the current line. */
export function csv_take_line(): i32 {
  const taken = first_line;
  first_line = line;
  return taken;
}

/** The end of the run of ordinary bytes at `at`, in state PLAIN or QUOTED. */
function run_end(at: usize, end: usize): usize {
  const stop = state == QUOTED ? QUOTE : separator;
  while (at < end) {
    const c = load<u8>(at);
    if (c == LF || c == CR || c == stop) break;
    at++;
  }
  return at;
}

/** Counts lines; true for the LF of a CRLF. */
function count_line(c: u8): bool {
  const second = after_cr && c == LF;
  after_cr = c == CR;
  if ((c == LF || c == CR) && !second) line++;
  return second;
}

/** Appends bytes to the open field, within the limits. */
function push(source: usize, length: i32): bool {
  if (row_memory() + length > MAX_ROW_BYTES) return fail(ERROR_ROW_SIZE, first_line, MAX_ROW_BYTES, 0);
  if (!push_bytes(source, length)) return fail(ERROR_TOO_LARGE, first_line, 0, 0);
  return true;
}

/** Ends the row; skips a blank line. */
function end_row(): void {
  ended = state != FIELD_START || field_count() > 0;
  state = FIELD_START;
  if (ended) end_field();
  else first_line = line;
}

/** Reads the byte at `at`, which is not part of a run; false on an error. */
function step(at: usize): bool {
  const c = load<u8>(at);
  const second = count_line(c);
  if (state == QUOTED) {
    if (c != QUOTE) return push(at, 1);
    state = CLOSED;
  } else if (c == LF || c == CR) {
    if (!second) end_row();
  } else if (c == separator) {
    if (row_memory() > MAX_ROW_BYTES) return fail(ERROR_ROW_SIZE, first_line, MAX_ROW_BYTES, 0);
    end_field();
    state = FIELD_START;
  } else if (state == CLOSED) {
    if (c != QUOTE) return fail(ERROR_AFTER_QUOTE, first_line, field_count() + 1, c);
    state = QUOTED;
    return push(at, 1);
  } else {
    quote_line = line;
    state = c == QUOTE && state == FIELD_START ? QUOTED : PLAIN;
    if (state == PLAIN) return push(at, 1);
  }
  return true;
}

/** Reads bytes up to the end of a row, an error or the end of the bytes; returns the address after the last. */
export function csv_scan(at: usize, end: usize): usize {
  ended = false;
  while (at < end && !ended) {
    const stop = state == PLAIN || state == QUOTED ? run_end(at, end) : at;
    if (stop > at) {
      after_cr = false;
      if (!push(at, <i32>(stop - at))) return end;
      at = stop;
    } else {
      if (!step(at)) return end;
      at++;
    }
  }
  return at;
}

/** Ends the file: the last row needs no line end. */
export function csv_finish(): void {
  ended = false;
  if (state == QUOTED) fail(ERROR_OPEN_QUOTE, first_line, quote_line, 0);
  else end_row();
}
