// Gradient of SwiGLU, and its recomputed output.
//
//   s = 1 / (1 + exp(-gate));  silu = gate * s;  out = silu * up
//   dgate = dout * up * (s + gate * s * (1 - s));  dup = dout * silu
//
//   dgate_up  (write)  [rows, 2cols]: of gate, then of up
//   out       (write)  [rows, cols]
//   dout      (read)   [rows, cols]
//   gate_up   (read)   [rows, 2cols]: gate, then up
//
// Grid: flat over rows * cols / 4. Reference: PyTorch autograd of transformers LlamaMLP.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  let width = dims.cols / 4u;
  if (i >= dims.rows * width) {
    return;
  }
  let at = i / width * 2u * width + i % width;
  let gate = gate_up[at];
  let up = gate_up[at + width];
  // As in swiglu_forward; 1 - s is e * s, which does not cancel where the gate is large.
  let e = exp(clamp(-gate, vec4f(-80.0), vec4f(80.0)));
  let silu = gate / (1.0 + e);
  let s = 1.0 / (1.0 + e);
  dgate_up[at] = dout[i] * up * (s + silu * (e * s));
  dgate_up[at + width] = dout[i] * silu;
  out[i] = silu * up;
}
