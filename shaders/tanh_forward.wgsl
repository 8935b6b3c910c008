// Hyperbolic tangent: out = tanh(inp) = (1 - e) / (1 + e) with e = exp(-2 |inp|), and the sign of inp.
//
//   out  (write)  [rows, cols]
//   inp  (read)   [rows, cols]
//
// e is at most 1: nothing overflows, as a driver's tanh does for large inputs; and that may be off by 1e-5.
// Grid: flat over rows * cols. Reference: PyTorch tanh.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.cols) {
    return;
  }
  let x = inp[i];
  let e = exp(-2.0 * abs(x));
  out[i] = sign(x) * (1.0 - e) / (1.0 + e);
}
