// Products that lie out_batch, a_batch and b_batch apart: BLAS gemm_strided_batched.

fn rows_of(batch: u32) -> u32 {
  return dims.m;
}

fn columns_of(batch: u32) -> u32 {
  return dims.n;
}

fn depth_of(batch: u32) -> u32 {
  return dims.k;
}

fn layout_a(batch: u32) -> Layout {
  return Layout(dims.a_offset + batch * dims.a_batch, dims.a_row, dims.a_col);
}

fn layout_b(batch: u32) -> Layout {
  return Layout(dims.b_offset + batch * dims.b_batch, dims.b_col, dims.b_row);
}

fn out_at(batch: u32) -> u32 {
  return dims.out_offset + batch * dims.out_batch;
}

fn out_row_of(batch: u32) -> u32 {
  return dims.out_row;
}

fn alpha_of(batch: u32) -> f32 {
  return dims.alpha;
}

fn bias_at(batch: u32) -> u32 {
  return 0u;
}

/// Of the tensor that b is a part of, if it is quantised.
fn weights() -> u32 {
  return dims.b_size;
}
