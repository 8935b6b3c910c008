// Matrix product of general strides, for results of at most 16 columns: out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 8), ceil(m / 128)). One invocation makes 4 rows x 8 columns in registers; neighbours in x own
// neighbouring rows, so that a rank-8 adapter keeps every lane busy. Reference: BLAS gemm, with BLIS's strides.

fn store_row(row: u32, col: u32, low: vec4f, high: vec4f) {
  store(row, col, low.x);
  store(row, col + 1u, low.y);
  store(row, col + 2u, low.z);
  store(row, col + 3u, low.w);
  store(row, col + 4u, high.x);
  store(row, col + 5u, high.y);
  store(row, col + 6u, high.z);
  store(row, col + 7u, high.w);
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = group.y * 128u + local.x;
  let col = group.x * 8u;
  if (row >= dims.m) {
    return;
  }
  // Rows and columns beyond the edge repeat the last one: their sums are made and not stored.
  let last_col = vec4u(dims.n - 1u);
  var a_at = dims.a_offset + min(row + vec4u(0u, 32u, 64u, 96u), vec4u(dims.m - 1u)) * dims.a_row;
  var b_low = min(col + vec4u(0u, 1u, 2u, 3u), last_col) * dims.b_col;
  var b_high = min(col + vec4u(4u, 5u, 6u, 7u), last_col) * dims.b_col;

  var low0 = vec4f(); var low1 = vec4f(); var low2 = vec4f(); var low3 = vec4f();
  var high0 = vec4f(); var high1 = vec4f(); var high2 = vec4f(); var high3 = vec4f();

  for (var k = 0u; k < dims.k; k++) {
    let x = vec4f(b_at(b_low.x), b_at(b_low.y), b_at(b_low.z), b_at(b_low.w));
    let y = vec4f(b_at(b_high.x), b_at(b_high.y), b_at(b_high.z), b_at(b_high.w));
    let a0 = a[a_at.x];
    low0 += a0 * x; high0 += a0 * y;
    let a1 = a[a_at.y];
    low1 += a1 * x; high1 += a1 * y;
    let a2 = a[a_at.z];
    low2 += a2 * x; high2 += a2 * y;
    let a3 = a[a_at.w];
    low3 += a3 * x; high3 += a3 * y;
    a_at += vec4u(dims.a_col);
    b_low += vec4u(dims.b_row);
    b_high += vec4u(dims.b_row);
  }

  store_row(row, col, low0, high0);
  store_row(row + 32u, col, low1, high1);
  store_row(row + 64u, col, low2, high2);
  store_row(row + 96u, col, low3, high3);
}
