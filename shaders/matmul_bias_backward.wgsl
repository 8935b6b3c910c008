// Gradient of the bias of a matrix product: the sum of each column.
//
//   dbias[j] += sum_i dout[i, j]
//
//   dbias  (accumulates)  [cols]
//   dout   (read)         [rows, cols]
//
// Grid: ceil(cols / 16). A workgroup sums 16 columns: 16 lanes share the rows of a column, whose parts are then added in order.
// Reference: llm.c matmul_backward.

const COLUMNS = 16u;
const PARTS = 16u;
var<workgroup> partial: array<f32, COLUMNS * PARTS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let own = min(col, dims.cols - 1u);
  var sum = 0.0;
  for (var row = lane / COLUMNS; row < dims.rows; row += PARTS) {
    sum += dout[row * dims.cols + own];
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS && col < dims.cols) {
    var total = 0.0;
    for (var part = 0u; part < PARTS; part++) {
      total += partial[part * COLUMNS + lane % COLUMNS];
    }
    dbias[col] += total;
  }
}
