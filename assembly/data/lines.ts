// Lines, for formats with one row per line. They end with LF or CRLF; the last one may end with the file.
import { ERROR_ROW_SIZE, ERROR_TOO_LARGE, fail, MAX_ROW_BYTES } from "./row-error";
import { VEC_HEADER, vec_append, vec_data, vec_resize, vec_size } from "./vec";

const LF: u8 = 10;
const CR: u8 = 13;

const buffer = memory.data(VEC_HEADER);
let number: i32 = 0;
let ended: bool = false;

export function lines_begin(): void {
  vec_resize(buffer, 0);
  number = 0;
  ended = false;
}

/** Reads bytes up to the end of a line, an error or the end of the bytes; returns the address after the last. */
export function lines_scan(at: usize, end: usize): usize {
  if (ended) vec_resize(buffer, 0);
  ended = false;
  let stop = at;
  while (stop < end && load<u8>(stop) != LF) stop++;
  const length = <i32>(stop - at);
  if (vec_size(buffer) + length > MAX_ROW_BYTES) {
    fail(ERROR_ROW_SIZE, number + 1, MAX_ROW_BYTES, 0);
    return end;
  }
  if (!vec_append(buffer, at, length)) {
    fail(ERROR_TOO_LARGE, number + 1, 0, 0);
    return end;
  }
  if (stop == end) return end;
  end_line();
  return stop + 1;
}

/** Ends the file: bytes without a line end are the last line. */
export function lines_finish(): void {
  if (ended) vec_resize(buffer, 0);
  ended = false;
  if (vec_size(buffer) > 0) end_line();
}

function end_line(): void {
  ended = true;
  number++;
  const size = vec_size(buffer);
  if (size > 0 && load<u8>(vec_data(buffer) + size - 1) == CR) vec_resize(buffer, size - 1);
}

/** Whether the last call completed a line. */
export function line_ended(): bool {
  return ended;
}

/** The number of the completed line, from 1, and its bytes without the line end. */
export function line_number(): i32 {
  return number;
}
export function line_address(): usize {
  return vec_data(buffer);
}
export function line_bytes(): i32 {
  return vec_size(buffer);
}
