// Puts keys and values of new tokens into the cache of a block.
//
//   cache[slot(n), 0, h, position(n), i] = k[n, h, i],  cache[slot(n), 1, h, position(n), i] = v[n, h, i]
//
//   cache   (updates)  [slots, 2, kv_heads, positions, head_size]; other positions stay as they are
//   qkv     (read)     [tokens, width]: q [NH, HS], k and v [KV, HS]; q is not used
//   slots  (read)     [tokens, 2]: the token's slot and its position in it
//
// Grid: (ceil(KV HS / 64), tokens). Reference: transformers DynamicCache.update, one tensor for keys and values.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let width = dims.kv_heads * dims.head_size;
  if (at.x >= width || at.y >= dims.tokens) {
    return;
  }
  let at_slot = slots[at.y];
  let head = at.x / dims.head_size;
  let row = (at_slot.x * 2u * dims.kv_heads + head) * dims.positions + at_slot.y;
  let to = row * dims.head_size + at.x % dims.head_size;
  let k_at = (at.y * (dims.heads + 2u * dims.kv_heads) + dims.heads) * dims.head_size + at.x;
  cache[to] = qkv[k_at];
  cache[to + width * dims.positions] = qkv[k_at + width];
}
