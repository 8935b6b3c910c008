// Gradients of a norm's weight and bias.
//
//   dweight[c] += sum_i dout[i, c] * (inp[i, c] - mean[i]) * rstd[i];  dbias[c] += sum_i dout[i, c]
//
//   dweight  (accumulates)  [cols]
//   dbias    (accumulates)  [cols], or absent
//   dout     (read)         [rows, cols]
//   inp      (read)         [rows, cols]
//   stats    (read)         [rows, 2]: mean and rstd of the forward pass
//
// Grid: ceil(cols / 16). Reference: llm.c layernorm_backward; PyTorch autograd of transformers LlamaRMSNorm.

alias Sum = vec2f;

fn term(row: u32, col: u32) -> Sum {
  let at = row * dims.cols + col;
  let s = stats[row];
  return vec2f(dout[at] * (inp[at] - s.x) * s.y, dout[at]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let total = column_sum(lane, col, dims.rows);
  if (lane < COLUMNS && col < dims.cols) {
    dweight[col] += total.x;
    if (dims.has_dbias != 0u) {
      dbias[col] += total.y;
    }
  }
}
