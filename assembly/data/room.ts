// Scratch memory that grows on demand: a header of ROOM_HEADER bytes in static memory, {address, bytes}.

/** Bytes of a header. */
export const ROOM_HEADER: i32 = 8;

/** The address of `bytes` bytes; what was there is lost. More than 1 GiB are refused by the allocator. */
export function room(header: usize, bytes: u64): usize {
  const has = <u64>load<u32>(header, 4);
  if (has >= bytes) return load<usize>(header);
  // In case the allocation traps.
  store<u32>(header, 0, 4);
  const old = load<usize>(header);
  store<usize>(header, 0);
  if (old != 0) heap.free(old);
  const size = <usize>min<u64>(max<u64>(bytes, min<u64>(2 * has, 1 << 28)), 1 << 31);
  store<usize>(header, heap.alloc(size));
  store<u32>(header, <u32>size, 4);
  return load<usize>(header);
}

/** The same, with the first `used` bytes kept. */
export function more_room(header: usize, used: usize, bytes: u64): usize {
  if (<u64>load<u32>(header, 4) >= bytes) return load<usize>(header);
  const size = <usize>min<u64>(bytes + (bytes >> 1), 1 << 31);
  const data = heap.alloc(size);
  memory.copy(data, load<usize>(header), used);
  heap.free(load<usize>(header));
  store<usize>(header, data);
  store<u32>(header, <u32>size, 4);
  return data;
}
