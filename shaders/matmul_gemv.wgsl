// Matrix product of general strides, for a few rows, as where a text is written token by token:
// out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 16), ceil(m / 4)) where b's columns lie side by side, else (ceil(n / 64), ceil(m / 4)). A workgroup makes 4
// rows; its lanes share the depth, neighbours along what lies side by side in b: 16 columns and 4 parts of the depth, or eight
// times eight columns and 8 parts. Then a lane adds up the parts of a column: one barrier in all, of which a software driver
// does not have many in a millisecond. A sum's order does not depend on m. Reference: BLAS gemv, with BLIS's strides.

const LANES = 64u;
const ROWS = 4u;
/** Lanes side by side where columns are. */
const COLUMNS = 16u;
/** Lanes side by side where the depth is, and columns of each. */
const PARTS = 8u;
const OWN = 8u;
/** Each lane's sums of four rows, a column behind the other. */
var<workgroup> partial: array<vec4f, OWN * LANES>;

fn finish(row: u32, col: u32, first: u32, parts: u32, next: u32) {
  var sum = partial[first];
  for (var p = 1u; p < parts; p++) {
    sum += partial[first + p * next];
  }
  store_rows(row + vec4u(0u, 1u, 2u, 3u), col, sum);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * ROWS;
  // Rows and columns beyond the edge repeat the last one: their sums are made and not stored.
  let rows = dims.a_offset + min(row + vec4u(0u, 1u, 2u, 3u), vec4u(dims.m - 1u)) * dims.a_row;
  if (dims.b_col == 1u) {
    let col = group.x * COLUMNS + lane % COLUMNS;
    let b_column = min(col, dims.n - 1u);
    let parts = LANES / COLUMNS;
    var sum = vec4f();
    for (var k = lane / COLUMNS; k < dims.k; k += parts) {
      let x = rows + k * dims.a_col;
      sum += b_at(b_column + k * dims.b_row) * vec4f(a[x.x], a[x.y], a[x.z], a[x.w]);
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane < COLUMNS) {
      finish(row, col, lane, parts, COLUMNS);
    }
    return;
  }
  let col = group.x * LANES + lane / PARTS * OWN;
  let last = vec4u(dims.n - 1u);
  let low = min(col + vec4u(0u, 1u, 2u, 3u), last) * dims.b_col;
  let high = min(col + vec4u(4u, 5u, 6u, 7u), last) * dims.b_col;
  var sum0 = vec4f(); var sum1 = vec4f(); var sum2 = vec4f(); var sum3 = vec4f();
  var sum4 = vec4f(); var sum5 = vec4f(); var sum6 = vec4f(); var sum7 = vec4f();
  for (var k = lane % PARTS; k < dims.k; k += PARTS) {
    let x = rows + k * dims.a_col;
    let left = vec4f(a[x.x], a[x.y], a[x.z], a[x.w]);
    let b_row = k * dims.b_row;
    sum0 += b_at(low.x + b_row) * left;
    sum1 += b_at(low.y + b_row) * left;
    sum2 += b_at(low.z + b_row) * left;
    sum3 += b_at(low.w + b_row) * left;
    sum4 += b_at(high.x + b_row) * left;
    sum5 += b_at(high.y + b_row) * left;
    sum6 += b_at(high.z + b_row) * left;
    sum7 += b_at(high.w + b_row) * left;
  }
  partial[lane] = sum0;
  partial[LANES + lane] = sum1;
  partial[2u * LANES + lane] = sum2;
  partial[3u * LANES + lane] = sum3;
  partial[4u * LANES + lane] = sum4;
  partial[5u * LANES + lane] = sum5;
  partial[6u * LANES + lane] = sum6;
  partial[7u * LANES + lane] = sum7;
  workgroupBarrier();
  finish(row, group.x * LANES + lane, lane % OWN * LANES + lane / OWN * PARTS, PARTS, 1u);
}
