// Layer normalisation of each row, variance in two passes.
//
//   mean = sum(inp) / C;  rstd = 1 / sqrt(sum((inp - mean)^2) / C + epsilon);  out = (inp - mean) * rstd * weight +
//     bias
//
//   out     (write)  [rows, cols]
//   stats   (write)  [rows, 2]: mean and rstd, saved for the backward pass
//   inp     (read)   [rows, cols]
//   weight  (read)   [cols]
//   bias    (read)   [cols]
//
// Grid: (1, rows), one workgroup a row, sums in a fixed order. Reference: llm.c layernorm_forward.

const LANES = 32u;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> squares: array<f32, LANES>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * dims.cols;
  var sum = 0.0;
  for (var c = lane; c < dims.cols; c += LANES) {
    sum += inp[base + c];
  }
  sums[lane] = sum;
  workgroupBarrier();
  // Every lane adds up all 32 in the same order: one barrier instead of a tree's five, which cost software drivers
  // most.
  sum = 0.0;
  for (var i = 0u; i < LANES; i++) {
    sum += sums[i];
  }
  let mean = sum / f32(dims.cols);
  var square = 0.0;
  for (var c = lane; c < dims.cols; c += LANES) {
    let d = inp[base + c] - mean;
    square += d * d;
  }
  squares[lane] = square;
  workgroupBarrier();
  square = 0.0;
  for (var i = 0u; i < LANES; i++) {
    square += squares[i];
  }
  let rstd = 1.0 / sqrt(square / f32(dims.cols) + dims.epsilon);
  for (var c = lane; c < dims.cols; c += LANES) {
    out[base + c] = (inp[base + c] - mean) * rstd * weight[c] + bias[c];
  }
  if (lane == 0u) {
    stats[group.y] = vec2f(mean, rstd);
  }
}
