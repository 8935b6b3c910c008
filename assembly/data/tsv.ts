// Tab-separated values: a row is a line, and a field contains no tab. The format has no quotes, but spreadsheets write
// them: a field is unquoted if it begins with a quote and its closing quote is followed by a tab or the line end. Any
// other quote is text, so that a single quote in a message cannot absorb the following rows.
import { end_field, push_bytes } from "./fields";

const TAB: u8 = 9;
const QUOTE: u8 = 34;

/** The closing quote of the field that begins at `at`, 0 if none is followed by a tab or the line end. */
function closing_quote(at: usize, end: usize): usize {
  let p = at + 1;
  while (p < end) {
    if (load<u8>(p) != QUOTE) {
      p++;
    } else if (p + 1 == end || load<u8>(p, 1) == TAB) {
      return p;
    } else if (load<u8>(p, 1) == QUOTE) {
      p += 2;
    } else {
      return 0;
    }
  }
  return 0;
}

/** Appends the bytes up to `end`, with doubled quotes as one. */
function push_unquoted(at: usize, end: usize): void {
  while (at < end) {
    let stop = at;
    while (stop < end && load<u8>(stop) != QUOTE) stop++;
    if (stop < end) stop++;
    push_bytes(at, <i32>(stop - at));
    at = stop == end || load<u8>(stop - 1) != QUOTE ? stop : stop + 1;
  }
}

/** Splits a line into fields; false for a blank one. */
export function tsv_split(at: usize, length: i32): bool {
  if (length == 0) return false;
  const end = at + length;
  while (true) {
    const closing = at < end && load<u8>(at) == QUOTE ? closing_quote(at, end) : 0;
    if (closing != 0) {
      push_unquoted(at + 1, closing);
      at = closing + 1;
    } else {
      const start = at;
      while (at < end && load<u8>(at) != TAB) at++;
      push_bytes(start, <i32>(at - start));
    }
    end_field();
    if (at >= end) return true;
    at++;
  }
}
