// LayerNorm of each row, variance in two passes, or, where centred is 0, RMS norm: the same with a mean of 0.
//
//   mean = sum(inp) / C;  rstd = 1 / sqrt(sum((inp - mean)^2) / C + epsilon);  out = (inp - mean) * rstd * weight +
//     bias
//
//   out     (write)  [rows, cols]
//   stats   (write)  [rows, 2]: mean and rstd, saved for the backward pass
//   inp     (read)   [rows, cols]
//   weight  (read)   [cols]
//   bias    (read)   [cols], or absent
//
// Grid: (1, rows), one workgroup a row, sums in a fixed order. Reference: llm.c layernorm_forward; transformers
// LlamaRMSNorm (Zhang and Sennrich 2019).

const LANES = 32u;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> squares: array<f32, LANES>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * dims.cols;
  var mean = 0.0;
  if (centred != 0u) {
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
    mean = sum / f32(dims.cols);
  }
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
    var value = (inp[base + c] - mean) * rstd * weight[c];
    if (dims.has_bias != 0u) {
      value += bias[c];
    }
    out[base + c] = value;
  }
  if (lane == 0u) {
    stats[group.y] = vec2f(mean, rstd);
  }
}
