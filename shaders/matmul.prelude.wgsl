// What the shaders of a matrix product share: how sums become elements of out, inside its edges.

fn store(row: u32, col: u32, sum: f32) {
  if (row >= dims.m || col >= dims.n) {
    return;
  }
  let at = dims.out_offset + row * dims.out_row + col;
  var value = dims.alpha * sum;
  if (dims.has_bias != 0u) {
    value += bias[col];
  }
  if (dims.beta != 0.0) {
    value += dims.beta * out[at];
  }
  out[at] = value;
}

/// Four elements of a row. Inside the edges their loads go out together.
fn store_row(row: u32, col: u32, sum: vec4f) {
  if (row >= dims.m || col + 4u > dims.n) {
    store(row, col, sum.x);
    store(row, col + 1u, sum.y);
    store(row, col + 2u, sum.z);
    store(row, col + 3u, sum.w);
    return;
  }
  let at = dims.out_offset + row * dims.out_row + col;
  var value = dims.alpha * sum;
  if (dims.has_bias != 0u) {
    value += vec4f(bias[col], bias[col + 1u], bias[col + 2u], bias[col + 3u]);
  }
  if (dims.beta != 0.0) {
    value += dims.beta * vec4f(out[at], out[at + 1u], out[at + 2u], out[at + 3u]);
  }
  out[at] = value.x;
  out[at + 1u] = value.y;
  out[at + 2u] = value.z;
  out[at + 3u] = value.w;
}
