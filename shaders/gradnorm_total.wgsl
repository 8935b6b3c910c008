// The norm of all gradients, and the flag that stops updates where the loss or the gradients are not finite.
//
//   metrics[slot].z = sqrt(sum of partial)
//   stopped[0] = 1 where the loss or the norm is Inf or NaN; stays until the host resets it
//
//   metrics  (updates)  [results, 4]: loss, correct, gradient norm, 1 where finite
//   stopped  (updates)  [1]
//   partial  (read)     [count]
//
// Grid: (1); sums by a fixed tree. Finiteness is read off the bits: WGSL lets a compiler assume that no
// value is NaN.
// Reference: torch.nn.utils.clip_grad_norm_.

const LANES = 64u;
const EXPONENT = 0x7f800000u;
var<workgroup> sums: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var mine = 0.0;
  for (var i = lane; i < dims.count; i += LANES) {
    mine += partial[i];
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
    let loss = bitcast<u32>(metrics[dims.slot].x) & EXPONENT;
    let norm = bitcast<u32>(sums[0]) & EXPONENT;
    if (loss == EXPONENT || norm == EXPONENT) {
      stopped[0] = 1u;
    }
    metrics[dims.slot].z = sqrt(sums[0]);
    metrics[dims.slot].w = f32(1u - stopped[0]);
  }
}
