// Growable arrays of bytes. A vector is a header of VEC_HEADER bytes in static memory (`memory.data`): address of the
// contents, bytes used, bytes reserved. Addresses of contents are valid until the vector grows.

/** Bytes of a header. */
export const VEC_HEADER: i32 = 12;

/** Blocks of the allocator must be smaller than 1 GiB. */
const MAX_BYTES: u32 = 960 << 20;
const MIN_BYTES: u32 = 256;

/** Address of the contents. */
export function vec_data(vec: usize): usize {
  return load<usize>(vec);
}

/** Bytes used. */
export function vec_size(vec: usize): i32 {
  return load<i32>(vec, 4);
}

/** Sets the bytes used, at most the bytes reserved; 0 empties the vector and keeps its memory. */
export function vec_resize(vec: usize, bytes: i32): void {
  store<i32>(vec, bytes, 4);
}

/** Reserves `bytes` more bytes; false if the vector would be too large. */
export function vec_reserve(vec: usize, bytes: u32): bool {
  const reserved = load<u32>(vec, 8);
  const needed = <u64>load<u32>(vec, 4) + <u64>bytes;
  if (needed <= <u64>reserved) return true;
  if (needed > <u64>MAX_BYTES) return false;
  let size = max<u64>(max<u64>(needed, 2 * <u64>reserved), <u64>MIN_BYTES);
  size = min<u64>(size, <u64>MAX_BYTES);
  const old = load<usize>(vec);
  const data = old == 0 ? heap.alloc(<usize>size) : heap.realloc(old, <usize>size);
  store<usize>(vec, data);
  store<u32>(vec, <u32>size, 8);
  return true;
}

/** Appends a byte; false if the vector would be too large. */
export function vec_push_u8(vec: usize, value: u8): bool {
  const used = load<u32>(vec, 4);
  if (used == load<u32>(vec, 8) && !vec_reserve(vec, 1)) return false;
  store<u8>(load<usize>(vec) + used, value);
  store<u32>(vec, used + 1, 4);
  return true;
}

/** Appends a 32-bit number; false if the vector would be too large. */
export function vec_push_u32(vec: usize, value: u32): bool {
  if (!vec_reserve(vec, 4)) return false;
  const used = load<u32>(vec, 4);
  store<u32>(load<usize>(vec) + used, value);
  store<u32>(vec, used + 4, 4);
  return true;
}

/** Appends `bytes` bytes from `source`, which must not be in the vector; false if the vector would be too large. */
export function vec_append(vec: usize, source: usize, bytes: i32): bool {
  if (!vec_reserve(vec, <u32>bytes)) return false;
  const used = load<u32>(vec, 4);
  memory.copy(load<usize>(vec) + used, source, <usize>bytes);
  store<u32>(vec, used + <u32>bytes, 4);
  return true;
}

/** Element `index` of a vector of 32-bit numbers. */
export function vec_u32(vec: usize, index: i32): u32 {
  return load<u32>(load<usize>(vec) + ((<usize>index) << 2));
}

/** Overwrites element `index` of a vector of 32-bit numbers. */
export function vec_set_u32(vec: usize, index: i32, value: u32): void {
  store<u32>(load<usize>(vec) + ((<usize>index) << 2), value);
}

/** Frees the memory. */
export function vec_free(vec: usize): void {
  const data = load<usize>(vec);
  if (data != 0) heap.free(data);
  store<usize>(vec, 0);
  store<u32>(vec, 0, 4);
  store<u32>(vec, 0, 8);
}
