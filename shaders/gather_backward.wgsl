// Puts the gradient of the selected rows back in place; every other row gets none.
//
//   dinp[n, c] = dout[b, c] / (rows[b] - firsts[b] + 1) from firsts[b] to rows[b];  dinp[n, c] = 0 elsewhere
//
//   dinp      (write)  [tokens, cols]
//   dout      (read)   [sequences, cols]
//   firsts    (read)   [sequences]
//   rows      (read)   [sequences]
//   selected  (read)   [tokens]: b + 1 where the row was selected for sequence b, else 0
//
// Grid: (ceil(cols / 64), tokens). Reference: the backward passes of PyTorch's index_select and mean.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.tokens) {
    return;
  }
  var value = 0.0;
  if (selected[at.y] > 0u) {
    let b = selected[at.y] - 1u;
    value = dout[b * dims.cols + at.x] / f32(rows[b] - firsts[b] + 1u);
  }
  dinp[at.y * dims.cols + at.x] = value;
}
