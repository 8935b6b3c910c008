// Append-only memory in pages that never move: growing copies nothing and reserves little, unlike a vector, which takes
// up to three times the size of its contents. A pile is a header of PILE_HEADER bytes in static memory (`memory.data`):
// the vector of its pages, the bounds of the free part of the last page, and the bytes used.
import { VEC_HEADER, vec_free, vec_push_u32, vec_size, vec_u32 } from "./vec";

/** Bytes of a header. */
export const PILE_HEADER: i32 = VEC_HEADER + 12;

/** Bytes of a page. Pieces larger than a quarter of it get their own block, so that a page wastes less than that. */
const PAGE_BYTES: u32 = 1 << 20;
const PIECE_BYTES: u32 = PAGE_BYTES >> 2;
/** Half of the largest WASM memory. */
const MAX_BYTES: u32 = 2048 << 20;

/** The address of `bytes` new bytes, aligned to 4 and valid until `pile_free`; 0 if the pile would be too large. */
export function pile_put(pile: usize, bytes: u32): usize {
  const size = (bytes + 3) & ~3;
  const total = <u64>load<u32>(pile, VEC_HEADER + 8) + <u64>size;
  if (total > <u64>MAX_BYTES) return 0;
  store<u32>(pile, <u32>total, VEC_HEADER + 8);
  if (size > PIECE_BYTES) return new_page(pile, size);
  let at = load<u32>(pile, VEC_HEADER);
  if (load<u32>(pile, VEC_HEADER + 4) - at < size) {
    at = <u32>new_page(pile, PAGE_BYTES);
    store<u32>(pile, at + PAGE_BYTES, VEC_HEADER + 4);
  }
  store<u32>(pile, at + size, VEC_HEADER);
  return at;
}

function new_page(pile: usize, bytes: u32): usize {
  const page = heap.alloc(bytes);
  vec_push_u32(pile, <u32>page);
  return page;
}

/** Frees the memory. */
export function pile_free(pile: usize): void {
  const pages = vec_size(pile) >> 2;
  for (let i = 0; i < pages; i++) heap.free(<usize>vec_u32(pile, i));
  vec_free(pile);
  memory.fill(pile + VEC_HEADER, 0, PILE_HEADER - VEC_HEADER);
}
