// Root mean square normalisation of each row.
//
//   rstd = 1 / sqrt(sum(inp^2) / C + epsilon);  out = inp * rstd * weight
//
//   out     (write)  [rows, cols]
//   rstd    (write)  [rows, 1], saved for the backward pass
//   inp     (read)   [rows, cols]
//   weight  (read)   [cols]
//
// Grid: (1, rows), one workgroup a row, sums in a fixed order. Reference: transformers LlamaRMSNorm; Zhang and Sennrich
// 2019.

const LANES = 32u;
var<workgroup> squares: array<f32, LANES>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * dims.cols;
  var square = 0.0;
  for (var c = lane; c < dims.cols; c += LANES) {
    let x = inp[base + c];
    square += x * x;
  }
  squares[lane] = square;
  workgroupBarrier();
  // Every lane adds up all 32 in the same order, as in layernorm_forward.
  square = 0.0;
  for (var i = 0u; i < LANES; i++) {
    square += squares[i];
  }
  let scale = 1.0 / sqrt(square / f32(dims.cols) + dims.epsilon);
  for (var c = lane; c < dims.cols; c += LANES) {
    out[base + c] = inp[base + c] * scale * weight[c];
  }
  if (lane == 0u) {
    rstd[group.y] = scale;
  }
}
