// Gradients of the biases of a matrix product: for each member, the sum of each column over its rows. A job a bias.
//
//   dbias[at + j] += sum of dout[i, j] over the member's rows i, or over all where dims.rows != 0
//
//   dbias   (accumulates)  [gradients]
//   dout    (read)         [rows, cols]
//   jobs    (read)         [entries, words]: the member of each bias, and where its gradient is
//   shares  (read)         [entries, share_words]: each member's rows
//
// Grid: (ceil(cols / 16), 1, biases). Reference: llm.c matmul_backward.

alias Sum = f32;

fn term(row: u32, col: u32) -> Sum {
  return dout[row * dims.cols + col];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let job = jobs[group.z];
  let is_fixed = dims.rows != 0u;
  let rows = select(row_count(job.member, dims.by_sequence), dims.rows, is_fixed);
  // Nothing is added for a member without rows: not even 0, which would make 0 of -0.
  if (rows == 0u) {
    return;
  }
  let first = select(first_row(job.member, dims.by_sequence), 0u, is_fixed);
  let col = group.x * COLUMNS + lane % COLUMNS;
  let total = column_sum(lane, col, first, rows);
  if (lane < COLUMNS && col < dims.cols) {
    dbias[job.at + col] += total;
  }
}
