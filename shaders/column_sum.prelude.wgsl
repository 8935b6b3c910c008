// Sums of columns in a fixed order: a workgroup of 256 sums 16 columns; 16 lanes share the rows of a column, whose parts
// are then added. A shader says what it sums: `Sum`, a type, and `term(row, col)`.

const COLUMNS = 16u;
const PARTS = 16u;
var<workgroup> partial: array<Sum, COLUMNS * PARTS>;

/// The sum of a lane's column over `rows` rows, in the lanes that write it: the first COLUMNS.
fn column_sum(lane: u32, col: u32, rows: u32) -> Sum {
  var sum = Sum();
  if (col < dims.cols) {
    for (var row = lane / COLUMNS; row < rows; row += PARTS) {
      sum += term(row, col);
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  sum = Sum();
  if (lane < COLUMNS) {
    for (var part = 0u; part < PARTS; part++) {
      sum += partial[part * COLUMNS + lane];
    }
  }
  return sum;
}
