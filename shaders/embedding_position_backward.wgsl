// Gradient of the position table: the sum over the sequences that reach a position.
//
//   dwpe[p, c] += sum over sequences b longer than p of dout[starts[b] + p, c]
//
//   dwpe    (accumulates)  [positions, cols]
//   dout    (read)         [tokens, cols]
//   starts  (read)         [sequences + 1]
//
// Grid: (ceil(cols / 64), longest). Reference: llm.c encoder_backward.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let col = at.x;
  let position = at.y;
  if (col >= dims.cols || position >= dims.longest) {
    return;
  }
  var sum = 0.0;
  for (var b = 0u; b < dims.sequences; b++) {
    let n = starts[b] + position;
    if (n < starts[b + 1u]) {
      sum += dout[n * dims.cols + col];
    }
  }
  dwpe[position * dims.cols + col] += sum;
}
