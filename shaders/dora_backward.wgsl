// Gradients of DoRA's scaling: of its input, and of the magnitude. The norm is a constant.
//
//   dz[i, c] = magnitude[c] / norm[c] * dy[i, c];  dmagnitude[c] += sum_i dy[i, c] * z[i, c] / norm[c]
//
//   dz          (write)        [rows, cols]
//   dmagnitude  (accumulates)  [cols]
//   dy          (read)         [rows, cols]
//   z           (read)         [rows, cols]
//   magnitude   (read)         [cols]
//   norm        (read)         [cols]
//
// Grid: ceil(cols / 16). Reference: Liu et al. 2024, section 4.3.

alias Sum = f32;

/// magnitude / norm of the lane's column.
var<private> factor: f32;

fn term(row: u32, col: u32) -> Sum {
  let at = row * dims.cols + col;
  let d = dy[at];
  dz[at] = factor * d;
  return d * z[at];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let own = min(col, dims.cols - 1u);
  factor = magnitude[own] / norm[own];
  let total = column_sum(lane, col, dims.rows);
  if (lane < COLUMNS && col < dims.cols) {
    dmagnitude[col] += total / norm[col];
  }
}
