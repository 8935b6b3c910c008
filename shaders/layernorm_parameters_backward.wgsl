// Gradients of layer normalisation's weight and bias.
//
//   dweight[c] += sum_i dout[i, c] * (inp[i, c] - mean[i]) * rstd[i];  dbias[c] += sum_i dout[i, c]
//
//   dweight  (accumulates)  [cols]
//   dbias    (accumulates)  [cols]
//   dout     (read)         [rows, cols]
//   inp      (read)         [rows, cols]
//   stats    (read)         [rows, 2]: mean and rstd of the forward pass
//
// Grid: ceil(cols / 64); one invocation a column, rows in order. Reference: llm.c layernorm_backward.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let col = id.x;
  if (col >= dims.cols) {
    return;
  }
  var weight_sum = 0.0;
  var bias_sum = 0.0;
  for (var row = 0u; row < dims.rows; row++) {
    let at = row * dims.cols + col;
    weight_sum += dout[at] * (inp[at] - stats[row].x) * stats[row].y;
    bias_sum += dout[at];
  }
  dweight[col] += weight_sum;
  dbias[col] += bias_sum;
}
