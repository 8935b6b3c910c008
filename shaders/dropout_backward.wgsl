// Gradient of a matrix's input through its adapters, which see it after dropout: dx += mask(ddown A); then, where the
// input is an activation, dx *= activation'(inp) and act = activation(inp).
//
//   dx     (updates)  [rows, cols]: the gradient without the adapters
//   act    (write)    [rows, cols], or absent
//   ddown  (read)     [rows, count * r]
//   a      (read)     `count` A [r, cols], `stride` elements apart
//   inp    (read)     [rows, cols], or absent
//   draws  (read)     [rows, 2], as in dropout_forward
//
// Grid: (ceil(cols / 256), ceil(rows / 4)): a lane makes four columns of four rows. Reference: PyTorch dropout, with
// PEFT's LoRA.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let four = dims.cols / 4u;
  let first = id.y * 4u;
  if (id.x >= four) {
    return;
  }
  let depth = dims.count * dims.r;
  // Rows beyond the last read the last one, and are not written.
  let rows = min(first + vec4u(0u, 1u, 2u, 3u), vec4u(dims.rows - 1u));
  let at = rows * depth;
  var sums: mat4x4f;
  for (var i = 0u; i < dims.count; i++) {
    for (var j = 0u; j < dims.r; j++) {
      let row = a[(i * dims.stride) / 4u + j * four + id.x];
      let d = at + i * dims.r + j;
      sums[0] += ddown[d.x] * row;
      sums[1] += ddown[d.y] * row;
      sums[2] += ddown[d.z] * row;
      sums[3] += ddown[d.w] * row;
    }
  }
  finish(sums[0], first, id.x);
  finish(sums[1], first + 1u, id.x);
  finish(sums[2], first + 2u, id.x);
  finish(sums[3], first + 3u, id.x);
}

fn finish(sum: vec4f, row: u32, at: u32) {
  if (row >= dims.rows) {
    return;
  }
  let i = row * (dims.cols / 4u) + at;
  let gradient = dx[i] + dropped(sum, row, at);
  if (dims.has_act == 0u) {
    dx[i] = gradient;
    return;
  }
  let x = inp[i];
  act[i] = activate(x);
  dx[i] = gradient * activation_slope(x);
}
