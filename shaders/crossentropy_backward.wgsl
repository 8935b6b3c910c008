// Gradient of the weighted mean cross-entropy, over one piece of the classes.
//
//   dlogits[i, c] = loss_scale * weights_i * (exp(logits[i, c] - max_i) / sum_i - [c = target_i]), 0 where the row is
//     ignored
//
//   dlogits  (write)  [rows, count]: classes first .. first + count
//   logits   (read)   [rows, count]
//   state    (read)   [rows, 4] of crossentropy_forward, after its last piece
//   targets  (read)   [rows], -100 where the row is ignored
//   weights  (read)   [rows], 1 where the classes are not weighted
//
// Grid: flat over rows * count. Reference: llm.c crossentropy_softmax_backward.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.count) {
    return;
  }
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
  dlogits[i] = value * (dims.loss_scale * weights[row]);
}
