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

/// Four elements of a column. What they need is read together, at rows inside the edge.
fn store_rows(rows: vec4u, col: u32, sums: vec4f) {
  if (col >= dims.n) {
    return;
  }
  let at = dims.out_offset + min(rows, vec4u(dims.m - 1u)) * dims.out_row + col;
  var values = dims.alpha * sums;
  if (dims.has_bias != 0u) {
    values += bias[col];
  }
  if (dims.beta != 0.0) {
    values += dims.beta * vec4f(out[at.x], out[at.y], out[at.z], out[at.w]);
  }
  if (rows.x < dims.m) {
    out[at.x] = values.x;
  }
  if (rows.y < dims.m) {
    out[at.y] = values.y;
  }
  if (rows.z < dims.m) {
    out[at.z] = values.z;
  }
  if (rows.w < dims.m) {
    out[at.w] = values.w;
  }
}
