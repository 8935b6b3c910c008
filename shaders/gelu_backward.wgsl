// Gradient of GELU (tanh form), in place: the buffer holds dout before and dinp after.
//
//   t = tanh(sqrt(2 / pi) * (inp + 0.044715 * inp^3))
//   dinp = dout * (0.5 * (1 + t) + 0.5 * inp * (1 - t^2) * sqrt(2 / pi) * (1 + 3 * 0.044715 * inp^2))
//
//   dinp  (updates)  [rows, cols]
//   inp   (read)     [rows, cols]
//
// Grid: flat over rows * cols. Where the argument of tanh is clamped, 1 - t^2 is 0 in f32 as it should be.
// Reference: llm.c gelu_backward.

struct Dims { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> dinp: array<f32>;
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
  let t = tanh(inner);
  let slope = 0.7978845608028654 * (1.0 + 0.134145 * x * x);
  dinp[i] *= 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope;
}
