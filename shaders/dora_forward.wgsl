// The outputs of a matrix with DoRA: scaled to the magnitude, then the bias and the residual stream.
//
//   out = magnitude / norm * z [+ bias] [+ residual]
//
//   out        (write)  [rows, cols]
//   z          (read)   [rows, cols]
//   magnitude  (read)   [cols]
//   norm       (read)   [cols]
//   bias       (read)   [cols], or absent
//   residual   (read)   [rows, cols], or absent
//
// Grid: flat over rows * cols / 4. Reference: Liu et al. 2024, equation 5.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 256u + id.x;
  let fours = dims.cols / 4u;
  if (i >= dims.rows * fours) {
    return;
  }
  let col = i % fours;
  var value = fma(magnitude[col] / norm[col], z[i], select(vec4f(), bias[col], dims.has_bias != 0u));
  if (dims.has_residual != 0u) {
    value += residual[i];
  }
  out[i] = value;
}
