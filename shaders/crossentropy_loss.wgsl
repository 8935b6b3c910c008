// Each member's loss from its rows' states, and how many of its rows have their target on top.
//
//   metrics[member * slots + slot] =
//     (loss_scale * sum_i weights_i loss_i, number of rows with target_i = max_i, -, -)
//
//   metrics  (updates)  [results, 4], slots of each member: loss, correct, gradient norm, finite (the last two by
//     gradnorm_total)
//   state    (read)     [rows, 4] of crossentropy_forward or scoreloss_forward
//   targets  (read)     [rows], -100 where the row is ignored
//   weights  (read)     [rows], 1 where the classes are not weighted
//   shares   (read)     [entries, words]: each member's rows, and its loss_scale
//
// Grid: (1, 1, members); sums by a fixed tree, from the member's first row on. loss_scale is 1 / sum of the weights of
// rows that count.
// Reference: PyTorch cross_entropy.

const LANES = 64u;
var<workgroup> partial: array<vec2f, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let member = group.z;
  let first = first_row(member, dims.by_sequence);
  let end = first + row_count(member, dims.by_sequence);
  var mine = vec2f();
  for (var row = first + lane; row < end; row += LANES) {
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
    metrics[member * dims.slots + dims.slot] = vec4f(partial[0].x * shares[member].loss_scale, partial[0].y, 0.0, 0.0);
  }
}
