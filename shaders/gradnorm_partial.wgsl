// Sums of squares of one page of gradients, 64 of each chunk.
//
//   partial[first + 64 g + i] = sum of grad[j]^2 over j = g * chunk + i, + 64, ... < (g + 1) * chunk
//
//   partial  (updates)  [partials]
//   grad     (read)     [count]
//
// Grid: a workgroup of 64 a chunk. Reference: torch.nn.utils.clip_grad_norm_.

const LANES = 64u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let end = min(dims.count, (group.x + 1u) * dims.chunk);
  var sum = 0.0;
  for (var i = group.x * dims.chunk + lane; i < end; i += LANES) {
    sum += grad[i] * grad[i];
  }
  partial[dims.first + group.x * LANES + lane] = sum;
}
