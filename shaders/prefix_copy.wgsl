// Copies a block's keys and values of the prefix into rows of qkv, or their gradients back.
//
//   out[out_at + j * out_row + i] = beta * out[...] + inp[inp_at + j * inp_row + i],  0 <= j < count, 0 <= i < cols
//
//   out  (updates)  count rows of cols columns; other elements stay as they are
//   inp  (read)     the same
//
// Grid: (ceil(cols / 64), count). Reference: Li and Liang 2021 (prefix tuning); PEFT's PrefixEncoder.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.count) {
    return;
  }
  let to = dims.out_at + at.y * dims.out_row + at.x;
  var value = inp[dims.inp_at + at.y * dims.inp_row + at.x];
  if (dims.beta != 0u) {
    value += out[to];
  }
  out[to] = value;
}
