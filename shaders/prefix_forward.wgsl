// Puts a block's keys and values of the prefix into rows of qkv.
//
//   qkv[row + j, qkv_width - 2 cols + i] = prefix[j, column + i],  0 <= i < 2 cols
//
//   qkv     (updates)  [room, qkv_width]; queries and other rows stay as they are
//   prefix  (read)     [count, width]: for each block keys, then values
//
// Grid: (ceil(2 cols / 64), count). Reference: Li and Liang 2021 (prefix tuning); PEFT's PrefixEncoder.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= 2u * dims.cols || at.y >= dims.count) {
    return;
  }
  qkv[(dims.row + at.y + 1u) * dims.qkv_width - 2u * dims.cols + at.x] = prefix[at.y * dims.width + dims.column + at.x];
}
