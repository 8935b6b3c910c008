// Residual connection. Its backward pass is the identity on both inputs and needs no kernel.
//
//   out = inp1 + inp2
//
//   out   (write)  [rows, cols]
//   inp1  (read)   [rows, cols]
//   inp2  (read)   [rows, cols]
//
// Grid: flat over rows * cols. Reference: llm.c residual_forward.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i < dims.rows * dims.cols) {
    out[i] = inp1[i] + inp2[i];
  }
}
