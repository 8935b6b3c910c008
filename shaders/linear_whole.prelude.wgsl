// A linear layer over all rows, with one set of adapters.

fn first_of(batch: u32) -> u32 {
  return 0u;
}

fn rows_of(batch: u32) -> u32 {
  return dims.m;
}

fn adapters_of(batch: u32) -> Adapters {
  return Adapters(
    dims.count,
    dims.r,
    dims.stride,
    0u,
    dims.up_row,
    dims.up_col,
    dims.column,
    dims.step,
    dims.width,
    dims.skew,
    0u,
  );
}
