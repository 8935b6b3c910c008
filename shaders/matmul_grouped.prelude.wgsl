// A product for each job, over the rows of its member: grouped gemm, as in cuBLAS. An operand with the rows of the whole batch begins at
// the member's first, out_share, a_share or b_share elements a row further on; those of the others are 0.
//
//   jobs    (read)  of each product: its member, where out, a, b and the bias begin, alpha
//   shares  (read)  the members' rows; they are the product's rows, or its depth where is_depth != 0

fn share_rows(batch: u32) -> u32 {
  return row_count(jobs[batch].member, dims.by_sequence);
}

fn share_at(batch: u32) -> u32 {
  return first_row(jobs[batch].member, dims.by_sequence);
}

fn rows_of(batch: u32) -> u32 {
  return select(share_rows(batch), dims.m, dims.is_depth != 0u);
}

fn depth_of(batch: u32) -> u32 {
  return select(dims.k, share_rows(batch), dims.is_depth != 0u);
}

fn layout_a(batch: u32) -> Layout {
  return Layout(jobs[batch].a_offset + share_at(batch) * dims.a_share, dims.a_row, dims.a_col);
}

fn layout_b(batch: u32) -> Layout {
  return Layout(jobs[batch].b_offset + share_at(batch) * dims.b_share, dims.b_col, dims.b_row);
}

fn out_at(batch: u32) -> u32 {
  return jobs[batch].out_offset + share_at(batch) * dims.out_share;
}

fn alpha_of(batch: u32) -> f32 {
  return jobs[batch].alpha;
}

fn bias_at(batch: u32) -> u32 {
  return jobs[batch].bias_offset;
}
