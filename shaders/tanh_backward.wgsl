// Gradient of tanh: dinp = dout (1 - out^2).
//
//   dinp  (write)  [rows, cols]
//   dout  (read)   [rows, cols]
//   out   (read)   [rows, cols]: tanh of the input
//
// Grid: flat over rows * cols. Reference: PyTorch tanh_backward.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.cols) {
    return;
  }
  dinp[i] = dout[i] * (1.0 - out[i] * out[i]);
}
