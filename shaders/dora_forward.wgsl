// The outputs of a matrix with DoRA: scaled to the magnitude, then the bias and the residual stream.
//
//   out = factor * z [+ bias] [+ residual];  factor[c] = magnitude[at + c - first] / norm[c], 1 from first + width on
//
//   out        (write)  [rows, cols]
//   z          (read)   [rows, cols]
//   magnitude  (read)   [scaled]
//   norm       (read)   [cols]
//   bias       (read)   [cols], or absent
//   residual   (read)   [rows, cols], or absent
//
// Columns first .. end. Grid: flat over rows * (end - first) / 4. Reference: Liu et al. 2024, equation 5.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  let fours = (dims.end - dims.first) / 4u;
  if (i >= dims.rows * fours) {
    return;
  }
  let own = i % fours;
  let col = dims.first / 4u + own;
  let to = i / fours * (dims.cols / 4u) + col;
  var factor = vec4f(1.0);
  if (own < dims.width / 4u) {
    factor = magnitude[dims.at / 4u + own] / norm[col];
  }
  var value = fma(factor, z[to], select(vec4f(), bias[col], dims.has_bias != 0u));
  if (dims.has_residual != 0u) {
    value += residual[to];
  }
  out[to] = value;
}
