// Sums of squares of a page of gradients, 64 of each chunk.
//
//   partial[first + 64 g + i] = sum of grad[j]^2 over j = g * chunk + i, + 64, ... < min(count, (g + 1) * chunk)
//
//   partial  (updates)  [partials]
//   grad     (read)     [count]
//
// Grid: (chunks), a workgroup of 64 a chunk. Reference: torch.nn.utils.clip_grad_norm_.

@compute @workgroup_size(GRADNORM_LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = group.x * dims.chunk;
  let end = min(dims.count, begin + dims.chunk);
  var sum = 0.0;
  for (var i = begin + lane; i < end; i += GRADNORM_LANES) {
    sum += grad[i] * grad[i];
  }
  partial[dims.first + group.x * GRADNORM_LANES + lane] = sum;
}
