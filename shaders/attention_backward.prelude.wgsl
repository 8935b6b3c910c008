// What both backward kernels of attention share.

// A vec4 of the queries (part 0) or of dout (part 1).
fn query_row(part: u32, n: u32, column: u32) -> vec4f {
  if (part == 0u) {
    return qkv[n * qkv_width() + column];
  }
  return dout[n * dims.heads * (head_size / 4u) + column];
}
