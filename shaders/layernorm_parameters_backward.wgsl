// Gradients of layer normalisation's weight and bias.
//
//   dweight[c] += sum_i dout[i, c] * (inp[i, c] - mean[i]) * rstd[i];  dbias[c] += sum_i dout[i, c]
//
//   dweight  (accumulates)  [cols]
//   dbias    (accumulates)  [cols]
//   dout     (read)         [rows, cols]
//   inp      (read)         [rows, cols]
//   stats    (read)         [rows, 2]: mean and rstd of the forward pass
//
// Grid: ceil(cols / 16). A workgroup sums 16 columns: 16 lanes share the rows of a column, whose parts are then added
// in order.
// Reference: llm.c layernorm_backward.

const COLUMNS = 16u;
const PARTS = 16u;
var<workgroup> partial: array<vec2f, COLUMNS * PARTS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let col = group.x * COLUMNS + lane % COLUMNS;
  let own = min(col, dims.cols - 1u);
  var sums = vec2f();
  for (var row = lane / COLUMNS; row < dims.rows; row += PARTS) {
    let at = row * dims.cols + own;
    let s = stats[row];
    sums += vec2f(dout[at] * (inp[at] - s.x) * s.y, dout[at]);
  }
  partial[lane] = sums;
  workgroupBarrier();
  if (lane < COLUMNS && col < dims.cols) {
    var total = vec2f();
    for (var part = 0u; part < PARTS; part++) {
      total += partial[part * COLUMNS + lane % COLUMNS];
    }
    dweight[col] += total.x;
    dbias[col] += total.y;
  }
}
