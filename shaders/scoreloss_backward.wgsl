// Gradient of the weighted mean loss of scores, over one piece of the outputs.
//
//   dlogits[i, c] = loss_scale * weights_i / outputs * g, by the constant `loss`
//   loss 0: g = 2 (x - y);  1: g = 1 / (1 + exp(-x)) - y
//
//   dlogits  (write)  [rows, count]: outputs first .. first + count
//   logits   (read)   [rows, count]
//   values   (read)   [rows, outputs]
//   weights  (read)   [rows]
//
// Grid: flat over rows * count. Reference: PyTorch mse_loss, binary_cross_entropy_with_logits.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  if (i >= dims.rows * dims.count) {
    return;
  }
  let row = i / dims.count;
  let x = logits[i];
  let y = values[row * dims.outputs + dims.first + i % dims.count];
  var slope = 2.0 * (x - y);
  if (loss == LOSS_BINARY) {
    // Of the exponential of a negative number, which does not overflow.
    let e = exp(-abs(x));
    slope = select(e, 1.0, x >= 0.0) / (1.0 + e) - y;
  }
  dlogits[i] = slope * (dims.loss_scale * weights[row] / f32(dims.outputs));
}
