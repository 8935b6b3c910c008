// Hyperbolic tangent: out = sign(x) (1 - e) / (1 + e), e = exp(-2 |x|), which never overflows, as a driver's tanh may.
//
//   out  (write)  [rows, cols]
//   inp  (read)   [rows, cols]
//
// Grid: flat over rows * cols. Reference: the definition.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.cols) {
    return;
  }
  let e = exp(-2.0 * abs(inp[i]));
  out[i] = sign(inp[i]) * (1.0 - e) / (1.0 + e);
}
