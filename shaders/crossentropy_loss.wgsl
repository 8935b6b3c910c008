// The loss from the rows' states, and how many rows have their target on top.
//
//   metrics[slot] = (loss_scale * sum_i weights_i loss_i, number of rows with target_i = max_i, -, -)
//
//   metrics  (updates)  [results, 4]: loss, correct, gradient norm, finite (the last two by gradnorm_total)
//   state    (read)     [rows, 4] of crossentropy_forward or scoreloss_forward
//   targets  (read)     [rows], -100 where the row is ignored
//   weights  (read)     [rows], 1 where the classes are not weighted
//
// Grid: (1); sums by a fixed tree. loss_scale is 1 / sum of the weights of rows that count.
// Reference: PyTorch cross_entropy.

const LANES = 64u;
var<workgroup> partial: array<vec2f, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var mine = vec2f();
  for (var row = lane; row < dims.rows; row += LANES) {
    let s = state[row];
    if (targets[row] >= 0) {
      mine += vec2f(weights[row] * s.w, select(0.0, 1.0, s.z >= s.x));
    }
  }
  partial[lane] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    metrics[dims.slot] = vec4f(partial[0].x * dims.loss_scale, partial[0].y, 0.0, 0.0);
  }
}
