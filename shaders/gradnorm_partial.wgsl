// Sums of squares of pages of gradients in one buffer, 64 of each chunk: a job a page.
//
//   partial[first + 64 g + i] = sum of grad[at + j]^2 over j = g * chunk + i, + 64, ... < min(count, (g + 1) * chunk)
//
//   partial  (updates)  [partials]
//   grad     (read)     [gradients]
//   jobs     (read)     [entries, words]: at, count, first and chunk of each page
//
// Grid: (chunks of the largest page, 1, pages), a workgroup of 64 a chunk. Reference: torch.nn.utils.clip_grad_norm_.

@compute @workgroup_size(GRADNORM_LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let job = jobs[group.z];
  let begin = group.x * job.chunk;
  if (begin >= job.count) {
    return;
  }
  let end = job.at + min(job.count, begin + job.chunk);
  var sum = 0.0;
  for (var i = job.at + begin + lane; i < end; i += GRADNORM_LANES) {
    sum += grad[i] * grad[i];
  }
  partial[job.first + group.x * GRADNORM_LANES + lane] = sum;
}
