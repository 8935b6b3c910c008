// SwiGLU: out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). The argument of exp is clamped, so that it does not
// overflow.
//
//   out      (write)  [rows, cols]
//   gate_up  (read)   [rows, 2cols]: gate, then up
//
// Grid: flat over rows * cols / 4. Reference: transformers LlamaMLP.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  let width = dims.cols / 4u;
  if (i >= dims.rows * width) {
    return;
  }
  let at = i / width * 2u * width + i % width;
  let gate = gate_up[at];
  out[i] = gate / (1.0 + exp(clamp(-gate, vec4f(-80.0), vec4f(80.0)))) * gate_up[at + width];
}
