// Picks the rows at which a sequence is classified, or the mean of its rows.
//
//   out[b, c] = (inp[firsts[b], c] + ... + inp[rows[b], c]) / (rows[b] - firsts[b] + 1)
//
//   out     (write)  [sequences, cols]
//   inp     (read)   [tokens, cols]
//   firsts  (read)   [sequences]
//   rows    (read)   [sequences]
//
// Grid: (ceil(cols / 64), sequences). Reference: PyTorch index_select, and mean of a part of the rows.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.sequences) {
    return;
  }
  let first = firsts[at.y];
  let last = rows[at.y];
  var sum = inp[first * dims.cols + at.x];
  for (var n = first + 1u; n <= last; n++) {
    sum += inp[n * dims.cols + at.x];
  }
  out[at.y * dims.cols + at.x] = sum / f32(last - first + 1u);
}
