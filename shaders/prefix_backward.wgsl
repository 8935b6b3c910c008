// Gradient of a block's keys and values of the prefix.
//
//   dprefix[j, column + i] = beta * dprefix[j, column + i] + dqkv[row + j, qkv_width - 2 cols + i],
//   0 <= i < 2 cols
//
//   dprefix  (updates)  [count, width]; the columns of other blocks stay as they are
//   dqkv     (read)     [room, qkv_width]
//
// Grid: (ceil(2 cols / 64), count). Reference: Li and Liang 2021 (prefix tuning).

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= 2u * dims.cols || at.y >= dims.count) {
    return;
  }
  var value = dqkv[(dims.row + at.y + 1u) * dims.qkv_width - 2u * dims.cols + at.x];
  let to = at.y * dims.width + dims.column + at.x;
  if (dims.beta != 0u) {
    value += dprefix[to];
  }
  dprefix[to] = value;
}
