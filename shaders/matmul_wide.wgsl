// Matrix product of general strides, for results wider than 16 columns: out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 64), ceil(m / 64)). One invocation makes 8 rows x 8 columns in registers; neighbours in x own
// neighbouring columns. No workgroup memory: software drivers are twice as fast without, and the blocks are large
// enough that caches serve the rest. Reference: BLAS gemm, with BLIS's row and column strides.

fn store_row(row: u32, col: u32, low: vec4f, high: vec4f) {
  store(row, col, low.x);
  store(row, col + 8u, low.y);
  store(row, col + 16u, low.z);
  store(row, col + 24u, low.w);
  store(row, col + 32u, high.x);
  store(row, col + 40u, high.y);
  store(row, col + 48u, high.z);
  store(row, col + 56u, high.w);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = group.y * 64u + local.y * 8u;
  let col = group.x * 64u + local.x;
  if (row >= dims.m || col >= dims.n) {
    return;
  }
  // Rows and columns beyond the edge repeat the last one: their sums are made and not stored.
  let last_row = vec4u(dims.m - 1u);
  let last_col = vec4u(dims.n - 1u);
  var a_low = dims.a_offset + min(row + vec4u(0u, 1u, 2u, 3u), last_row) * dims.a_row;
  var a_high = dims.a_offset + min(row + vec4u(4u, 5u, 6u, 7u), last_row) * dims.a_row;
  var b_low = min(col + vec4u(0u, 8u, 16u, 24u), last_col) * dims.b_col;
  var b_high = min(col + vec4u(32u, 40u, 48u, 56u), last_col) * dims.b_col;

  var low0 = vec4f(); var low1 = vec4f(); var low2 = vec4f(); var low3 = vec4f();
  var low4 = vec4f(); var low5 = vec4f(); var low6 = vec4f(); var low7 = vec4f();
  var high0 = vec4f(); var high1 = vec4f(); var high2 = vec4f(); var high3 = vec4f();
  var high4 = vec4f(); var high5 = vec4f(); var high6 = vec4f(); var high7 = vec4f();

  for (var k = 0u; k < dims.k; k++) {
    let x = vec4f(b_at(b_low.x), b_at(b_low.y), b_at(b_low.z), b_at(b_low.w));
    let y = vec4f(b_at(b_high.x), b_at(b_high.y), b_at(b_high.z), b_at(b_high.w));
    let a0 = a[a_low.x];
    low0 += a0 * x; high0 += a0 * y;
    let a1 = a[a_low.y];
    low1 += a1 * x; high1 += a1 * y;
    let a2 = a[a_low.z];
    low2 += a2 * x; high2 += a2 * y;
    let a3 = a[a_low.w];
    low3 += a3 * x; high3 += a3 * y;
    let a4 = a[a_high.x];
    low4 += a4 * x; high4 += a4 * y;
    let a5 = a[a_high.y];
    low5 += a5 * x; high5 += a5 * y;
    let a6 = a[a_high.z];
    low6 += a6 * x; high6 += a6 * y;
    let a7 = a[a_high.w];
    low7 += a7 * x; high7 += a7 * y;
    a_low += vec4u(dims.a_col);
    a_high += vec4u(dims.a_col);
    b_low += vec4u(dims.b_row);
    b_high += vec4u(dims.b_row);
  }

  store_row(row, col, low0, high0);
  store_row(row + 1u, col, low1, high1);
  store_row(row + 2u, col, low2, high2);
  store_row(row + 3u, col, low3, high3);
  store_row(row + 4u, col, low4, high4);
  store_row(row + 5u, col, low5, high5);
  store_row(row + 6u, col, low6, high6);
  store_row(row + 7u, col, low7, high7);
}
