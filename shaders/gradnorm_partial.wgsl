// Sums of squares of one page of gradients, 256 of them.
//
//   partial[first + i] = sum of grad[j]^2 over the j that invocation i walks
//
//   partial  (updates)  [partials]
//   grad     (read)     [count]
//
// Grid: 4 workgroups of 64; each invocation walks with stride 256. Reference: torch.nn.utils.clip_grad_norm_.

struct Dims { count: u32, first: u32 }

@group(0) @binding(0) var<storage, read_write> partial: array<f32>;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = 0.0;
  for (var i = id.x; i < dims.count; i += 256u) {
    sum += grad[i] * grad[i];
  }
  partial[dims.first + id.x] = sum;
}
