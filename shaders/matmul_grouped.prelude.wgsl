// A product for each job, over the rows of its member: grouped GEMM, as in cuBLAS. An operand with the rows of the
// whole batch begins at the member's first row.
//
//   jobs    (read)  of each product: its member, sizes and strides, where out, a, b and the bias begin, alpha
//   shares  (read)  the members' rows; they are the product's rows, or its depth where is_depth != 0

fn share_rows(batch: u32) -> u32 {
  return row_count(jobs[batch].member, dims.by_sequence);
}

/// Where an operand of rows that are `stride` apart begins.
fn share_at(batch: u32, stride: u32, is_packed: u32) -> u32 {
  return first_row(jobs[batch].member, dims.by_sequence) * stride * is_packed;
}

fn rows_of(batch: u32) -> u32 {
  return select(share_rows(batch), jobs[batch].m, dims.is_depth != 0u);
}

fn columns_of(batch: u32) -> u32 {
  return jobs[batch].n;
}

fn depth_of(batch: u32) -> u32 {
  return select(jobs[batch].k, share_rows(batch), dims.is_depth != 0u);
}

fn layout_a(batch: u32) -> Layout {
  let job = jobs[batch];
  let row = select(job.a_row, job.a_col, dims.is_depth != 0u);
  return Layout(job.a_offset + share_at(batch, row, dims.a_packed), job.a_row, job.a_col);
}

fn layout_b(batch: u32) -> Layout {
  let job = jobs[batch];
  return Layout(job.b_offset + share_at(batch, job.b_row, dims.b_packed), job.b_col, job.b_row);
}

fn out_at(batch: u32) -> u32 {
  let job = jobs[batch];
  return job.out_offset + share_at(batch, job.out_row, dims.out_packed);
}

fn out_row_of(batch: u32) -> u32 {
  return jobs[batch].out_row;
}

fn alpha_of(batch: u32) -> f32 {
  return jobs[batch].alpha;
}

fn bias_at(batch: u32) -> u32 {
  return jobs[batch].bias_offset;
}
