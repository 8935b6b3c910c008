// What the shaders of a matrix product share: how a sum becomes an element of out, inside its edges.

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
