// Gradient of the bias of a matrix product: the sum of each column.
//
//   dbias[j] += sum_i dout[i, j]
//
//   dbias  (accumulates)  [cols]
//   dout   (read)         [rows, cols]
//
// Grid: ceil(cols / 64); one invocation a column, rows in order. Reference: llm.c matmul_backward.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let col = id.x;
  if (col >= dims.cols) {
    return;
  }
  var sum = 0.0;
  for (var row = 0u; row < dims.rows; row++) {
    sum += dout[row * dims.cols + col];
  }
  dbias[col] += sum;
}
