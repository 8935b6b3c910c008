// Gradients of DoRA's scaling: of its input, and of the magnitude. The norm is a constant.
//
//   dz[i, c] = factor[c] * dy[i, c];  factor[c] = magnitude[m] / norm[c], m = at + c - first
//   dmagnitude[m] += sum_i dy[i, c] * z[i, c] / norm[c];  from first + width on the factor is 1
//
//   dz          (write)        [rows, cols]
//   dmagnitude  (accumulates)  [scaled]
//   dy          (read)         [rows, cols]
//   z           (read)         [rows, cols]
//   magnitude   (read)         [scaled]
//   norm        (read)         [cols]
//
// Columns first .. end. Grid: ceil((end - first) / 16). Reference: Liu et al. 2024, section 4.3.

alias Sum = f32;

/// Of the lane's column.
var<private> factor: f32;

fn term(row: u32, col: u32) -> Sum {
  let at = row * dims.cols + col;
  let d = dy[at];
  dz[at] = factor * d;
  return d * z[at];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let own = group.x * COLUMNS + lane % COLUMNS;
  // No column is summed behind the last.
  let col = select(dims.cols, dims.first + own, dims.first + own < dims.end);
  let is_scaled = own < dims.width;
  factor = 1.0;
  if (is_scaled) {
    factor = magnitude[dims.at + own] / norm[col];
  }
  let total = column_sum(lane, col, dims.rows);
  if (lane < COLUMNS && is_scaled) {
    dmagnitude[dims.at + own] += total / norm[col];
  }
}
