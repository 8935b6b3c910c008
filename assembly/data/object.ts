// An object in JSON, a line or an element of an array. Its keys and values become alternate fields: strings with
// escapes resolved, numbers and booleans as written, null and nested values empty. Unlike in strict JSON, control
// characters in strings are allowed. Nested values are skipped without validation; but in place of an object on the way
// to a wanted key, and of every object in a sample, stand its members, with the path to them as their key:
// `message.body`.

import { end_field, field_address, field_count, field_length, fields_cut, push_byte, push_bytes } from "./fields";
import { ERROR_JSON, fail_row } from "./row-error";
import { put_code_point } from "./utf8";
import { VEC_HEADER, vec_append, vec_data, vec_push_u8, vec_resize, vec_size } from "./vec";

/** Kinds of values; nested members have NESTED as well. */
const TEXT: u8 = 0;
const NO_TEXT: u8 = 1;
const NESTED: u8 = 2;

/** The deepest objects whose members are read, the longest path to them, and the most of them in a row. */
const MAX_DEPTH: i32 = 8;
const MAX_PATH: i32 = 256;
const MAX_NESTED: i32 = 1024;

const QUOTE: u8 = 34;
const COMMA: u8 = 44;
const COLON: u8 = 58;
const BACKSLASH: u8 = 92;
const OPEN: u8 = 123;
const CLOSE: u8 = 125;
const DOT: u8 = 46;

/** The wanted keys, and by column the address and length of each; no columns: all keys are wanted. */
const wanted = memory.data(VEC_HEADER);
const keys = memory.data(VEC_HEADER);
let wanted_columns: i32 = 0;

/** The path to the members that are read, with a dot at its end. */
const path = memory.data(VEC_HEADER);
let nested: i32 = 0;

const kinds = memory.data(VEC_HEADER);
const character = memory.data(4);

let start: usize = 0;
let at: usize = 0;
let end: usize = 0;
let line: i32 = 0;
let column: i32 = 0;

/** Sets the keys of `columns` columns: `bytes` at `names`, and u32 per column at `lengths`. */
export function object_keys(names: usize, bytes: i32, lengths: usize, columns: i32): void {
  vec_resize(wanted, 0);
  vec_append(wanted, names, bytes);
  vec_resize(keys, columns << 3);
  let key = vec_data(wanted);
  for (let column = 0; column < columns; column++) {
    const length = load<u32>(lengths + ((<usize>column) << 2));
    store<usize>(key_of(column), key);
    store<u32>(key_of(column), length, 4);
    key += length;
  }
  wanted_columns = columns;
}

function key_of(column: i32): usize {
  return vec_data(keys) + ((<usize>column) << 3);
}

/** Reads the members of all objects, within the limits. */
export function object_all(): void {
  wanted_columns = 0;
}

/**
 * The index of the member with the key of a column, -1 if there is none; of duplicates the last, as in other readers; a
 * nested one as a last resort.
 */
export function object_member(column: i32): i32 {
  const key = load<usize>(key_of(column));
  const length = load<i32>(key_of(column), 4);
  let found = -1;
  for (let i = vec_size(kinds) - 1; i >= 0; i--) {
    if (field_length(2 * i) != length || memory.compare(field_address(2 * i), key, length) != 0) continue;
    if (!(load<u8>(vec_data(kinds) + i) & NESTED)) return i;
    if (found < 0) found = i;
  }
  return found;
}

/** Whether the value of member `index` is a string, a number or a boolean. */
export function has_text(index: i32): bool {
  return !(load<u8>(vec_data(kinds) + index) & NO_TEXT);
}

/**
 * Reads the object in these bytes, which begin on a line of the file behind `before` bytes; false for white space and,
 * with an error set, for anything else.
 */
export function object_read(address: usize, length: i32, number: i32, before: i32): bool {
  start = address;
  at = address;
  end = address + length;
  line = number;
  column = before;
  vec_resize(kinds, 0);
  vec_resize(path, 0);
  nested = 0;
  skip_space();
  if (at == end) return false;
  if (!expect(OPEN)) return false;
  skip_space();
  if (at < end && load<u8>(at) == CLOSE) at++;
  else if (!read_members(0)) return false;
  skip_space();
  return at == end || unexpected();
}

/** Reads the members and the closing brace of an object within `depth` others. */
function read_members(depth: i32): bool {
  while (true) {
    const member = field_count();
    push_bytes(vec_data(path), vec_size(path));
    skip_space();
    if (!read_string()) return false;
    end_field();
    skip_space();
    if (!expect(COLON)) return false;
    skip_space();
    if (is_entered(member, depth)) {
      if (!read_nested(member, depth + 1)) return false;
    } else if (!read_value(member, depth)) return false;
    skip_space();
    if (at < end && load<u8>(at) == COMMA) at++;
    else return expect(CLOSE);
  }
}

/** Whether the row's last value is an object whose members are read: it is not empty and leads to a wanted key. */
function is_entered(member: i32, depth: i32): bool {
  if (at == end || load<u8>(at) != OPEN || depth == MAX_DEPTH || field_length(member) > MAX_PATH) return false;
  let inside = at + 1;
  while (inside < end && is_space(load<u8>(inside))) inside++;
  if (inside < end && load<u8>(inside) == CLOSE) return false;
  for (let column = 0; column < wanted_columns; column++) if (leads(member, column)) return true;
  return wanted_columns == 0;
}

/** Whether the key of a column is that of a member within the value of `member`. */
function leads(member: i32, column: i32): bool {
  const key = load<usize>(key_of(column));
  const bytes = field_length(member);
  if (bytes >= load<i32>(key_of(column), 4) || load<u8>(key + bytes) != DOT) return false;
  return memory.compare(field_address(member), key, bytes) == 0;
}

/** Reads the members of an object in place of the member whose value it is. */
function read_nested(member: i32, depth: i32): bool {
  const outer = vec_size(path);
  const address = field_address(member);
  // The key has the path before it.
  vec_append(path, address + outer, field_length(member) - outer);
  vec_push_u8(path, DOT);
  fields_cut(member);
  at++;
  const good = read_members(depth);
  vec_resize(path, outer);
  return good;
}

function unexpected(): bool {
  let row = line;
  let place = column + <i32>(at - start) + 1;
  for (let p = start; p < at; p++) {
    if (load<u8>(p) != 10) continue;
    row++;
    place = <i32>(at - p);
  }
  return fail_row(ERROR_JSON, row, place, at < end ? load<u8>(at) : -1);
}

function expect(c: u8): bool {
  if (at == end || load<u8>(at) != c) return unexpected();
  at++;
  return true;
}

function skip_space(): void {
  while (at < end && is_space(load<u8>(at))) at++;
}

function is_space(c: u8): bool {
  return c == 32 || c == 9 || c == 10 || c == 13;
}

function read_value(member: i32, depth: i32): bool {
  const c: u8 = at < end ? load<u8>(at) : 0;
  let kind = TEXT;
  let good = false;
  if (c == QUOTE) {
    good = read_string();
  } else if (c == OPEN || c == 91) {
    kind = NO_TEXT;
    good = skip_nested();
  } else if (c == 116) {
    good = read_word(0x65757274, 4); // true
  } else if (c == 102) {
    good = expect(102) && push_byte(102) && read_word(0x65736c61, 4); // f, alse
  } else if (c == 110) {
    kind = NO_TEXT;
    good = skip_word(0x6c6c756e); // null
  } else {
    good = read_number();
  }
  end_field();
  if (depth > 0 && ++nested > MAX_NESTED) fields_cut(member);
  else vec_push_u8(kinds, depth > 0 ? kind | NESTED : kind);
  return good;
}

/** Skips four letters, given as a little-endian number. */
function skip_word(letters: u32): bool {
  for (let i = 0; i < 4; i++) {
    if (!expect(<u8>(letters >> (i << 3)))) return false;
  }
  return true;
}

function read_word(letters: u32, length: i32): bool {
  return skip_word(letters) && push_bytes(at - length, length);
}

function is_digit(): bool {
  return at < end && load<u8>(at) - 48 < 10;
}

/** Skips one or more digits. */
function skip_digits(): bool {
  if (!is_digit()) return unexpected();
  while (is_digit()) at++;
  return true;
}

function read_number(): bool {
  const from = at;
  if (at < end && load<u8>(at) == 45) at++;
  if (at < end && load<u8>(at) == 48) at++;
  else if (!skip_digits()) return false;
  if (at < end && load<u8>(at) == 46) {
    at++;
    if (!skip_digits()) return false;
  }
  if (at < end && (load<u8>(at) | 32) == 101) {
    at++;
    if (at < end && (load<u8>(at) == 43 || load<u8>(at) == 45)) at++;
    if (!skip_digits()) return false;
  }
  return push_bytes(from, <i32>(at - from));
}

/** Skips an array or object by counting brackets outside of strings. */
function skip_nested(): bool {
  let depth = 0;
  do {
    if (at == end) return unexpected();
    const c = load<u8>(at++);
    if (c == OPEN || c == 91) depth++;
    else if (c == CLOSE || c == 93) depth--;
    else if (c == QUOTE && !skip_string()) return false;
  } while (depth > 0);
  return true;
}

/** Skips a string after its opening quote. */
function skip_string(): bool {
  while (at < end) {
    const c = load<u8>(at++);
    if (c == QUOTE) return true;
    if (c == BACKSLASH && at < end) at++;
  }
  return unexpected();
}

function read_string(): bool {
  if (!expect(QUOTE)) return false;
  while (true) {
    const from = at;
    while (at < end && load<u8>(at) != QUOTE && load<u8>(at) != BACKSLASH) at++;
    push_bytes(from, <i32>(at - from));
    if (at == end) return unexpected();
    if (load<u8>(at++) == QUOTE) return true;
    if (!read_escape()) return false;
  }
}

/** Reads an escape sequence after the backslash. */
function read_escape(): bool {
  const c: u8 = at < end ? load<u8>(at) : 0;
  let plain: u8 = 0;
  if (c == QUOTE || c == BACKSLASH || c == 47) plain = c;
  else if (c == 98) plain = 8;
  else if (c == 102) plain = 12;
  else if (c == 110) plain = 10;
  else if (c == 114) plain = 13;
  else if (c == 116) plain = 9;
  else if (c != 117) return unexpected();
  at++;
  return c == 117 ? read_unicode() : push_byte(plain);
}

/** The value of the four hexadecimal digits at `p`, -1 if they are invalid. */
function hex4(p: usize): i32 {
  if (p + 4 > end) return -1;
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const c = <i32>load<u8>(p + i);
    const digit = c - 48;
    const letter = (c | 32) - 97;
    if (digit >= 0 && digit < 10) value = (value << 4) | digit;
    else if (letter >= 0 && letter < 6) value = (value << 4) | (letter + 10);
    else return -1;
  }
  return value;
}

/** Reads the digits of a \u escape, and a second escape if both form a surrogate pair. */
function read_unicode(): bool {
  let code = hex4(at);
  if (code < 0) return unexpected();
  at += 4;
  if ((code & 0xf800) == 0xd800) {
    const high = code;
    code = 0xfffd;
    if (high < 0xdc00 && at + 6 <= end && load<u16>(at) == 0x755c) {
      const low = hex4(at + 2);
      if ((low & 0xfffffc00) == 0xdc00) {
        code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
  }
  return push_bytes(character, put_code_point(character, code));
}
