// The norm of each member's gradients, and the flags that stop a member whose loss or gradients are not finite.
//
//   metrics[member * slots + slot].z = sqrt(sum of partial[first .. first + count])
//   stopped[member] = 1 where the loss or the norm is Inf or NaN; stays until the host resets it
//
//   metrics  (updates)  [results, 4], slots of each member: loss, correct, gradient norm, 1 where finite
//   stopped  (updates)  [members]
//   partial  (read)     [partials]
//   jobs     (read)     [entries, words]: first and count of each member
//
// Grid: (1, 1, members); sums by a fixed tree. Finiteness is read off the bits: WGSL lets a compiler assume that no
// value is NaN.
// Reference: torch.nn.utils.clip_grad_norm_.

const LANES = 64u;
const EXPONENT = 0x7f800000u;
var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let job = jobs[group.z];
  var mine = 0.0;
  for (var i = lane; i < job.count; i += LANES) {
    mine += partial[job.first + i];
  }
  sums[lane] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      sums[lane] += sums[lane + half];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let row = job.member * dims.slots + dims.slot;
    let loss = bitcast<u32>(metrics[row].x) & EXPONENT;
    let norm = bitcast<u32>(sums[0]) & EXPONENT;
    if (loss == EXPONENT || norm == EXPONENT) {
      stopped[job.member] = 1u;
    }
    metrics[row].z = sqrt(sums[0]);
    metrics[row].w = f32(1u - stopped[job.member]);
  }
}
