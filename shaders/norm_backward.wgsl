// Gradient of a norm with respect to its input, and its recomputed output.
//
//   xhat = (inp - mean) * rstd;  g = dout * weight;  dinp = add + rstd * (g - mean(g) - xhat * mean(g * xhat)), without
//     mean(g) where centred is 0;  out = xhat * weight + bias
//
//   dinp    (write)  [rows, cols]
//   out     (write)  [rows, cols]
//   dout    (read)   [rows, cols]
//   inp     (read)   [rows, cols]
//   stats   (read)   [rows, 2]: mean and rstd of the forward pass
//   weight  (read)   [cols]
//   bias    (read)   [cols], or absent
//   add     (read)   [rows, cols], or absent
//
// Grid: (1, rows), one workgroup a row, sums in a fixed order. Reference: llm.c layernorm_backward; PyTorch autograd of
// transformers LlamaRMSNorm.

const LANES = 32u;
var<workgroup> partial: array<vec2f, LANES>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * dims.cols;
  let mean = stats[group.y].x;
  let rstd = stats[group.y].y;
  var sums = vec2f();
  for (var c = lane; c < dims.cols; c += LANES) {
    let g = dout[base + c] * weight[c];
    sums += vec2f(g, g * (inp[base + c] - mean) * rstd);
  }
  partial[lane] = sums;
  workgroupBarrier();
  // Every lane adds up all 32 in the same order, as in norm_forward.
  sums = vec2f();
  for (var i = 0u; i < LANES; i++) {
    sums += partial[i];
  }
  var means = sums / f32(dims.cols);
  if (centred == 0u) {
    means.x = 0.0;
  }
  for (var c = lane; c < dims.cols; c += LANES) {
    let xhat = (inp[base + c] - mean) * rstd;
    var value = rstd * (dout[base + c] * weight[c] - means.x - xhat * means.y);
    if (dims.has_add != 0u) {
      value += add[base + c];
    }
    dinp[base + c] = value;
    var again = xhat * weight[c];
    if (dims.has_bias != 0u) {
      again += bias[c];
    }
    out[base + c] = again;
  }
}
