// Puts a block's keys and values of the prefix into the first positions of every slot of its cache.
//
//   cache[s, part, h, j, i] = prefix[j, column + (part * KV + h) * head_size + i],  part 0 the keys, 1 the values
//
//   cache   (updates)  [slots, 2, kv_heads, positions, head_size]; positions from `count` on stay as they are
//   prefix  (read)     [count, width]: for each block keys, then values
//
// Grid: (ceil(2 KV HS / 64), count, slots). Reference: PEFT's past_key_values of a prefix; transformers DynamicCache.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let rows = 2u * dims.kv_heads;
  if (at.x >= rows * dims.head_size || at.y >= dims.count) {
    return;
  }
  let row = (at.z * rows + at.x / dims.head_size) * dims.positions + at.y;
  cache[row * dims.head_size + at.x % dims.head_size] = prefix[at.y * dims.width + dims.column + at.x];
}
