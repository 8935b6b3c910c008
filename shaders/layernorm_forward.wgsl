// Layer normalisation of each row, variance in two passes.
//
//   mean = sum(inp) / C;  rstd = 1 / sqrt(sum((inp - mean)^2) / C + epsilon);  out = (inp - mean) * rstd * weight + bias
//
//   out     (write)  [rows, cols]
//   stats   (write)  [rows, 2]: mean and rstd, saved for the backward pass
//   inp     (read)   [rows, cols]
//   weight  (read)   [cols]
//   bias    (read)   [cols]
//
// Grid: (1, rows), one workgroup a row, sums by a fixed tree. Reference: llm.c layernorm_forward.

struct Dims { rows: u32, cols: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(2) var<storage, read> inp: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;

const LANES = 64u;
var<workgroup> partial: array<f32, LANES>;

fn sum_of_lanes(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
    workgroupBarrier();
  }
  let total = partial[0];
  workgroupBarrier();
  return total;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * dims.cols;
  var sum = 0.0;
  for (var c = lane; c < dims.cols; c += LANES) {
    sum += inp[base + c];
  }
  let mean = sum_of_lanes(lane, sum) / f32(dims.cols);
  var squares = 0.0;
  for (var c = lane; c < dims.cols; c += LANES) {
    let d = inp[base + c] - mean;
    squares += d * d;
  }
  let rstd = 1.0 / sqrt(sum_of_lanes(lane, squares) / f32(dims.cols) + dims.epsilon);
  for (var c = lane; c < dims.cols; c += LANES) {
    out[base + c] = (inp[base + c] - mean) * rstd * weight[c] + bias[c];
  }
  if (lane == 0u) {
    stats[group.y] = vec2f(mean, rstd);
  }
}
