// Gradient of one piece of the token table. The host sorts the tokens by id, so that every row has one writer and the
// order of the sum is fixed.
//
//   dwte[id - first, c] += sum over tokens n with ids[n] = id of dout[n, c]
//
//   dwte    (accumulates)  [count, cols], rows first .. first + count of the token table
//   dout    (read)         [tokens, cols]
//   ids     (read)         [tokens]
//   sorted  (read)         [tokens]: token numbers, ordered by id, then by place
//   groups  (read)         [unique + 1]: where each id's run starts in `sorted`
//
// Grid: (ceil(cols / 64), unique). Reference: llm.c encoder_backward.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let col = at.x;
  let group = at.y;
  if (col >= dims.cols || group >= dims.unique) {
    return;
  }
  let begin = groups[group];
  let end = groups[group + 1u];
  let id = ids[sorted[begin]];
  if (id < dims.first || id - dims.first >= dims.count) {
    return;
  }
  var sum = 0.0;
  for (var i = begin; i < end; i++) {
    sum += dout[sorted[i] * dims.cols + col];
  }
  dwte[(id - dims.first) * dims.cols + col] += sum;
}
