// Gradient of each member's weighted mean cross-entropy, over one piece of the classes.
//
//   dlogits[i, c] = loss_scale * weights_i * (exp(logits[i, c] - max_i) / sum_i - [c = target_i]), 0 where the row is
//     ignored
//
//   dlogits  (write)  [rows, count]: classes first .. first + count
//   logits   (read)   [rows, count]
//   state    (read)   [rows, 4] of crossentropy_forward, after its last piece
//   targets  (read)   [rows], -100 where the row is ignored
//   weights  (read)   [rows], 1 where the classes are not weighted
//   shares   (read)   [entries, words]: each member's rows, and its loss_scale
//
// Grid: flat over largest * count, the rows of the largest share; z: members. Reference: llm.c
// crossentropy_softmax_backward.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let member = id.z;
  let at = id.y * groups.x * 256u + id.x;
  if (at >= row_count(member, dims.by_sequence) * dims.count) {
    return;
  }
  let i = first_row(member, dims.by_sequence) * dims.count + at;
  let row = i / dims.count;
  let label = targets[row];
  var value = 0.0;
  if (label >= 0) {
    let s = state[row];
    value = exp(logits[i] - s.x) / s.y;
    if (u32(label) == dims.first + i % dims.count) {
      value -= 1.0;
    }
  }
  dlogits[i] = value * (shares[member].loss_scale * weights[row]);
}
