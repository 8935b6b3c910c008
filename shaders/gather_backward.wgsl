// Puts the gradient of the selected rows back in place; every other row gets none.
//
//   dinp[rows[b], c] = dout[b, c];  dinp[n, c] = 0 for the rows that were not selected
//
//   dinp    (write)  [tokens, cols]
//   dout    (read)   [sequences, cols]
//   selected  (read)   [tokens]: b + 1 where the row was selected for sequence b, else 0
//
// Grid: (ceil(cols / 64), tokens). Reference: PyTorch index_select's backward.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.tokens) {
    return;
  }
  var value = 0.0;
  let b = selected[at.y];
  if (b > 0u) {
    value = dout[(b - 1u) * dims.cols + at.x];
  }
  dinp[at.y * dims.cols + at.x] = value;
}
