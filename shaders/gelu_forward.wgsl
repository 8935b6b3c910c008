// GELU in the tanh form of GPT-2 (gelu_new).
//
//   out = 0.5 * inp * (1 + tanh(sqrt(2 / pi) * (inp + 0.044715 * inp^3)))
//
//   out  (write)  [rows, cols]
//   inp  (read)   [rows, cols]
//
// Grid: flat over rows * cols. The argument of tanh is clamped: beyond +-15 tanh is +-1 in f32, and exp overflows in
// naive drivers. Reference: llm.c gelu_forward.

struct Dims { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> inp: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.cols) {
    return;
  }
  let x = inp[i];
  let inner = clamp(0.7978845608028654 * (x + 0.044715 * x * x * x), -15.0, 15.0);
  out[i] = 0.5 * x * (1.0 + tanh(inner));
}
