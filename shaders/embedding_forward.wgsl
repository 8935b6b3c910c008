// Token and position embedding, for the tokens whose id lies in one piece of the table.
//
//   out[n, c] = wte[ids[n] - first, c] + wpe[n - bounds[n].start + shift, c]   where first <= ids[n] < first + count
//               without wpe where it is absent
//
//   out    (updates)  [tokens, cols]; rows of other pieces stay as they are
//   wte    (read)     [count, cols], rows first .. first + count of the token table; f32, f16, q8, q4 by wte_type
//   wpe    (read)     [positions, cols]; f32 or f16 by wpe_type
//   ids    (read)     [tokens]
//   bounds (read)     [tokens, 2]: where the token's sequence starts and ends in the packed batch
//
// Grid: (ceil(cols / 64), tokens). Reference: llm.c encoder_forward.

/// In blocks: the weights of wte.
fn weights() -> u32 {
  return dims.count * dims.cols;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let col = at.x;
  let n = at.y;
  if (col >= dims.cols || n >= dims.tokens) {
    return;
  }
  let id = ids[n];
  if (id < dims.first || id - dims.first >= dims.count) {
    return;
  }
  var sum = wte_at((id - dims.first) * dims.cols + col);
  if (dims.has_wpe != 0u) {
    let position = n - bounds[n].x + dims.shift;
    sum += wpe_at(position * dims.cols + col);
  }
  out[n * dims.cols + col] = sum;
}
