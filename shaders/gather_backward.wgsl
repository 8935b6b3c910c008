// Puts the gradient of the selected rows back in place; every other row gets none.
//
//   dinp[n, c] = dout[b, c] / (rows of b's mean) where n is one of them;  dinp[n, c] = 0 elsewhere
//
//   dinp      (write)  [tokens, cols]
//   dout      (read)   [sequences, cols]
//   selected  (read)   [tokens, 2]: b + 1 where the row was selected for sequence b, else 0; and the rows of b's mean
//
// Grid: (ceil(cols / 64), tokens). Reference: the backward passes of PyTorch's index_select and mean.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.tokens) {
    return;
  }
  var value = 0.0;
  let b = selected[2u * at.y];
  if (b > 0u) {
    value = dout[(b - 1u) * dims.cols + at.x] / f32(selected[2u * at.y + 1u]);
  }
  dinp[at.y * dims.cols + at.x] = value;
}
