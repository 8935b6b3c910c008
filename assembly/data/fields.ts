// The current row: the concatenated bytes of its fields, and where each ends. In a row of JSON, fields are alternately
// keys and values.
import { VEC_HEADER, vec_append, vec_data, vec_push_u8, vec_push_u32, vec_resize, vec_size, vec_u32 } from "./vec";

const bytes = memory.data(VEC_HEADER);
const ends = memory.data(VEC_HEADER);

/** The first field of the row in `ends`, and where its bytes begin: nonzero only while a sample is collected. */
let first: i32 = 0;
let origin: i32 = 0;

/** Clears all rows. */
export function fields_clear(): void {
  vec_resize(bytes, 0);
  vec_resize(ends, 0);
  first = 0;
  origin = 0;
}

/** Keeps the row and begins a new one after it. */
export function fields_keep(): void {
  first = vec_size(ends) >> 2;
  origin = vec_size(bytes);
}

/** The number of completed fields of the row. */
export function field_count(): i32 {
  return (vec_size(ends) >> 2) - first;
}

/** The number of all fields, including those of kept rows. */
export function field_total(): i32 {
  return vec_size(ends) >> 2;
}

/** Bytes of memory used by the row so far. */
export function row_memory(): i32 {
  return vec_size(bytes) - origin + (field_count() << 2);
}

export function push_byte(byte: u8): bool {
  return vec_push_u8(bytes, byte);
}

export function push_bytes(source: usize, length: i32): bool {
  return vec_append(bytes, source, length);
}

export function end_field(): bool {
  return vec_push_u32(ends, vec_size(bytes));
}

/** Drops the fields of the row from `index` on. */
export function fields_cut(index: i32): void {
  vec_resize(bytes, start_of(first + index));
  vec_resize(ends, (first + index) << 2);
}

/** The address and length in bytes of field `index` of the row; the address is valid until a byte is added. */
export function field_address(index: i32): usize {
  return vec_data(bytes) + start_of(first + index);
}
export function field_length(index: i32): i32 {
  return <i32>vec_u32(ends, first + index) - start_of(first + index);
}

function start_of(field: i32): i32 {
  return field == 0 ? 0 : <i32>vec_u32(ends, field - 1);
}

/** Whether the row has nothing but white space. */
export function row_is_blank(): bool {
  const end = vec_data(bytes) + vec_size(bytes);
  let at = vec_data(bytes) + origin;
  while (at < end && is_space(load<u8>(at))) at++;
  return at == end;
}

export function is_space(c: u8): bool {
  return c == 32 || (c >= 9 && c <= 13);
}

/** The addresses of all bytes and of all ends, for the host to read a sample. */
export function fields_bytes(): usize {
  return vec_data(bytes);
}
export function fields_ends(): usize {
  return vec_data(ends);
}
