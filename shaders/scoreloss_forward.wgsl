// The mean loss of each row's scores, one piece of the outputs at a time: the squared error (0) or binary cross-entropy
// of logits (1), by the constant `loss`.
//
//   state[i] = (0, unused, 1 if all outputs so far are on the right side of 0, else -1, sum of the losses so far / outputs)
//   loss 0: (x - y)^2, and no output counts as right;  1: max(x, 0) - x y + log(1 + exp(-|x|))
//
//   state    (updates; the first piece starts it)  [rows, 4], of which crossentropy_loss reads the same
//   logits   (read)  [rows, count]: outputs first .. first + count
//   values   (read)  [rows, outputs]
//
// Grid: (1, rows), one workgroup a row, sums by a fixed tree. Reference: PyTorch mse_loss,
// binary_cross_entropy_with_logits.

const LANES = 64u;
// Of each lane the sum of its losses, and how many outputs are not right.
var<workgroup> partial: array<vec2f, LANES>;

/// log(1 + e) for 0 <= e <= 1, exact where e is small: Kahan's form, in which the rounding of 1 + e cancels.
fn log1p(e: f32) -> f32 {
  let sum = 1.0 + e;
  let kept = sum - 1.0;
  return select(log(sum) * (e / kept), e, kept == 0.0);
}

fn score_loss(x: f32, y: f32) -> vec2f {
  if (loss == LOSS_BINARY) {
    return vec2f(max(x, 0.0) - x * y + log1p(exp(-abs(x))), select(1.0, 0.0, (x > 0.0) == (y > 0.5)));
  }
  return vec2f((x - y) * (x - y), 1.0);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  var mine = vec2f();
  for (var c = lane; c < dims.count; c += LANES) {
    mine += score_loss(logits[row * dims.count + c], values[row * dims.outputs + dims.first + c]);
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
    var seen = vec4f(0.0, 0.0, 1.0, 0.0);
    if (dims.first > 0u) {
      seen = state[row];
    }
    let right = select(-1.0, seen.z, partial[0].y == 0.0);
    state[row] = vec4f(0.0, 0.0, right, seen.w + partial[0].x / f32(dims.outputs));
  }
}
