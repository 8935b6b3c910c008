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
// Grid: ceil(cols / 16). A workgroup sums 16 columns: 16 lanes share the rows of a column, whose parts are then added
// in order. Reference: Liu et al. 2024, section 4.3.

const COLUMNS = 16u;
const PARTS = 16u;
var<workgroup> partial: array<f32, COLUMNS * PARTS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let own = min(col, dims.cols - 1u);
  let factor = magnitude[own] / norm[own];
  var sum = 0.0;
  for (var row = lane / COLUMNS; row < dims.rows; row += PARTS) {
    let at = row * dims.cols + own;
    let d = dy[at];
    sum += d * z[at];
    if (col < dims.cols) {
      dz[at] = factor * d;
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS && col < dims.cols) {
    var total = 0.0;
    for (var part = 0u; part < PARTS; part++) {
      total += partial[part * COLUMNS + lane % COLUMNS];
    }
    dmagnitude[col] += total / norm[col];
  }
}
