// The cache of keys and values. Reference: transformers DynamicCache.update, one tensor for keys and values.
import { CacheWrite } from "./generated/records";
import { slice_begin, slice_end } from "./threads";

/**
 * Copies the keys and values of qkv [tokens, (NH + 2 KV) HS] into cache [slots, 2, KV, positions, HS] at slots
 * [tokens, 2], the slot and position of each token.
 */
export function cache_write(p: CacheWrite): void {
  const cache = p.cache;
  const qkv = p.qkv;
  const slots = p.slots;
  const tokens = p.tokens;
  const kv_heads = p.kv_heads;
  const positions = p.positions;
  const bytes: usize = p.head_size << 2;
  const queries: usize = p.heads * bytes;
  const width: usize = queries + 2 * kv_heads * bytes;
  const end = slice_end(tokens, 1);
  for (let n = slice_begin(tokens, 1); n < end; n++) {
    const slot = load<u32>(slots + (n << 3));
    const position = load<u32>(slots + (n << 3), 4);
    let from = qkv + n * width + queries;
    let to = cache + (slot * 2 * kv_heads * positions + position) * bytes;
    for (let row: u32 = 0; row < 2 * kv_heads; row++) {
      memory.copy(to, from, bytes);
      from += bytes;
      to += positions * bytes;
    }
  }
}
