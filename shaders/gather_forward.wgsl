// Picks the rows at which a sequence is classified.
//
//   out[b, c] = inp[rows[b], c]
//
//   out   (write)  [sequences, cols]
//   inp   (read)   [tokens, cols]
//   rows  (read)   [sequences]
//
// Grid: (ceil(cols / 64), sequences). Reference: PyTorch index_select.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.sequences) {
    return;
  }
  out[at.y * dims.cols + at.x] = inp[rows[at.y] * dims.cols + at.x];
}
