// Gradient of the bias of a matrix product: the sum of each column.
//
//   dbias[j] += sum of dout[i, j] over the rows i
//
//   dbias   (accumulates)  [cols]
//   dout    (read)         [rows, cols]
//
// Grid: (ceil(cols / 16)). Reference: llm.c matmul_backward.

alias Sum = f32;

fn term(row: u32, col: u32) -> Sum {
  return dout[row * dims.cols + col];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let total = column_sum(lane, col, dims.rows);
  if (lane < COLUMNS && col < dims.cols) {
    dbias[col] += total;
  }
}
