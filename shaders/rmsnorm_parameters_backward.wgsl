// Gradient of root mean square normalisation's weight.
//
//   dweight[c] += sum_i dout[i, c] * inp[i, c] * rstd[i]
//
//   dweight  (accumulates)  [cols]
//   dout     (read)         [rows, cols]
//   inp      (read)         [rows, cols]
//   rstd     (read)         [rows, 1], of the forward pass
//
// Grid: ceil(cols / 16). A workgroup sums 16 columns: 16 lanes share the rows of a column, whose parts are then added
// in order.
// Reference: PyTorch autograd of transformers LlamaRMSNorm.

const COLUMNS = 16u;
const PARTS = 16u;
var<workgroup> partial: array<f32, COLUMNS * PARTS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let own = min(col, dims.cols - 1u);
  var sum = 0.0;
  for (var row = lane / COLUMNS; row < dims.rows; row += PARTS) {
    let at = row * dims.cols + own;
    sum += dout[at] * (inp[at] * rstd[row]);
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS && col < dims.cols) {
    var total = 0.0;
    for (var part = 0u; part < PARTS; part++) {
      total += partial[part * COLUMNS + lane % COLUMNS];
    }
    dweight[col] += total;
  }
}
