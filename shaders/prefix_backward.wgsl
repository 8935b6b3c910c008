// Gradient of a block's keys and values of the prefix.
//
//   dprefix[j, column + i] = beta * dprefix[j, column + i] + dqkv[row + j, C + i],  0 <= i < 2C
//
//   dprefix  (updates)  [count, width]; the columns of other blocks stay as they are
//   dqkv     (read)     [room, 3cols]
//
// Grid: (ceil(2 cols / 64), count). Reference: Li and Liang 2021 (prefix tuning).

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= 2u * dims.cols || at.y >= dims.count) {
    return;
  }
  var value = dqkv[((dims.row + at.y) * 3u + 1u) * dims.cols + at.x];
  let to = at.y * dims.width + dims.column + at.x;
  if (dims.beta != 0u) {
    value += dprefix[to];
  }
  dprefix[to] = value;
}
