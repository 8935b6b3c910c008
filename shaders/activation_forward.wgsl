// The activation: out = activation(inp).
//
//   out  (write)  [rows, cols]
//   inp  (read)   [rows, cols]
//
// Grid: flat over rows * cols. Reference: llm.c gelu_forward.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.cols) {
    return;
  }
  out[i] = activate(vec4f(inp[i])).x;
}
