// Gradient of root mean square normalisation with respect to its input, and its recomputed output.
//
//   xhat = inp * rstd;  g = dout * weight;  dinp = add + rstd * (g - xhat * mean(g * xhat));  out = xhat * weight
//
//   dinp    (write)  [rows, cols]
//   out     (write)  [rows, cols]
//   dout    (read)   [rows, cols]
//   inp     (read)   [rows, cols]
//   rstd    (read)   [rows, 1], of the forward pass
//   weight  (read)   [cols]
//   add     (read)   [rows, cols], or absent
//
// Grid: (1, rows), one workgroup a row, sums in a fixed order. Reference: PyTorch autograd of transformers
// LlamaRMSNorm.

const LANES = 32u;
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * dims.cols;
  let scale = rstd[group.y];
  var sum = 0.0;
  for (var c = lane; c < dims.cols; c += LANES) {
    sum += dout[base + c] * weight[c] * (inp[base + c] * scale);
  }
  partial[lane] = sum;
  workgroupBarrier();
  // Every lane adds up all 32 in the same order, as in layernorm_forward.
  sum = 0.0;
  for (var i = 0u; i < LANES; i++) {
    sum += partial[i];
  }
  let mean = sum / f32(dims.cols);
  for (var c = lane; c < dims.cols; c += LANES) {
    let xhat = inp[base + c] * scale;
    var value = scale * (dout[base + c] * weight[c] - xhat * mean);
    if (dims.has_add != 0u) {
      value += add[base + c];
    }
    dinp[base + c] = value;
    out[base + c] = xhat * weight[c];
  }
}
