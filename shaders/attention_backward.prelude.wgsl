// What both backward kernels of attention share.

// A vec4 of the queries (part 0) or of dout (part 1).
fn query_row(part: u32, n: u32, column: u32) -> vec4f {
  let width = dims.heads * (head_size / 4u);
  if (part == 0u) {
    return qkv[n * 3u * width + column];
  }
  return dout[n * width + column];
}
