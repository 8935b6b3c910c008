// Gradient of GELU (tanh form), in place: the buffer holds dout before and dinp after.
//
//   s = 1 / (1 + exp(-2 u)) with u = sqrt(2 / pi) * (inp + 0.044715 * inp^3)
//   dinp = dout * (s + inp * s * (1 - s) * 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * inp^2))
//
//   dinp  (updates)  [rows, cols]
//   inp   (read)     [rows, cols]
//
// Grid: flat over rows * cols. 1 - s is made as exp(-2 u) * s: it must vanish where inp is large, since inp^3 multiplies
// it. Reference: llm.c gelu_backward.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.cols) {
    return;
  }
  let x = inp[i];
  let e = exp(clamp(-1.5957691216057308 * (x + 0.044715 * x * x * x), -80.0, 80.0));
  let s = 1.0 / (1.0 + e);
  let slope = 1.5957691216057308 * (1.0 + 0.134145 * x * x);
  dinp[i] *= s + (x * s) * (e * s) * slope;
}
