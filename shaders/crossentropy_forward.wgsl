// Softmax cross-entropy, one piece of the classes at a time: an online log-sum-exp and the target's logit.
//
//   state[i] = (max, sum of exp(logits - max), logit of the target, loss) over the classes seen so far
//   loss = max - target + log(sum), NaN where a logit is NaN or Inf
//
//   state    (updates; the first piece starts it)  [rows, 4]
//   logits   (read)  [rows, count]: classes first .. first + count
//   targets  (read)  [rows], -100 where the row is ignored
//
// Grid: (1, rows), one workgroup a row, sums by a fixed tree. Finiteness is read off the bits: WGSL lets a compiler
// assume that no value is NaN, and SwiftShader's exp and log make numbers of it.
// Reference: PyTorch cross_entropy.

const LANES = 64u;
const LOWEST = -3.0e38;
const INFINITE = 0x7f800000u;
const MINUS_INFINITE = 0xff800000u;
const NAN = 0x7fc00000u;
var<workgroup> partial: array<vec2f, LANES>;

fn join(a: vec2f, b: vec2f) -> vec2f {
  let largest = max(a.x, b.x);
  return vec2f(largest, a.y * exp(a.x - largest) + b.y * exp(b.x - largest));
}

fn is_finite(bits: u32) -> bool {
  return (bits & INFINITE) != INFINITE;
}

/// A logit as a sum of its own, which is NaN where it is NaN or Inf.
fn one(logit: f32) -> vec2f {
  let bits = bitcast<u32>(logit);
  let nan = bitcast<f32>(bits | NAN);
  return vec2f(logit, select(nan, 1.0, is_finite(bits) || bits == MINUS_INFINITE));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let base = row * dims.count;
  var mine = vec2f(LOWEST, 0.0);
  for (var c = lane; c < dims.count; c += LANES) {
    mine = join(mine, one(logits[base + c]));
  }
  partial[lane] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] = join(partial[lane], partial[lane + half]);
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    var seen = vec4f(LOWEST, 0.0, 0.0, 0.0);
    if (dims.first > 0u) {
      seen = state[row];
    }
    let sums = join(seen.xy, partial[0]);
    var target_logit = seen.z;
    let label = targets[row] - i32(dims.first);
    if (label >= 0 && label < i32(dims.count)) {
      target_logit = logits[base + u32(label)];
    }
    // The large numbers first: their difference is exact, and the logarithm may be small beside them.
    let loss = (sums.x - target_logit) + log(sums.y);
    state[row] = vec4f(sums, target_logit, select(sums.y, loss, is_finite(bitcast<u32>(sums.y))));
  }
}
