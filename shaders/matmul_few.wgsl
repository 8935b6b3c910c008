// Matrix product of general strides, for a few rows, as where a text is written token by token:
// out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col
//   b     (read)  [k, n], element [k, j] at b_offset + k * b_row + j * b_col; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 16), ceil(m / 4)). A workgroup makes 4 rows x 16 columns; its lanes share the depth, neighbours along
// what lies side by side in b: 16 columns and 4 parts of the depth, or 4 columns and 16 parts, four times. A sum's order
// does not depend on m. Reference: BLAS gemv, with BLIS's strides.

struct Dims {
  m: u32, n: u32, k: u32,
  out_offset: u32, out_row: u32,
  a_offset: u32, a_row: u32, a_col: u32,
  b_offset: u32, b_row: u32, b_col: u32,
  alpha: f32, beta: f32, has_bias: u32,
}

override b_half: u32;

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<uniform> dims: Dims;

const LANES = 64u;
const ROWS = 4u;
const COLUMNS = 16u;
var<workgroup> partial: array<vec4f, LANES>;

fn right(at: u32) -> f32 {
  if (b_half != 0u) {
    return unpack2x16float(b[at >> 1u])[at & 1u];
  }
  return bitcast<f32>(b[at]);
}

fn store(row: u32, col: u32, sum: f32) {
  if (row >= dims.m || col >= dims.n) {
    return;
  }
  let at = dims.out_offset + row * dims.out_row + col;
  var value = dims.alpha * sum;
  if (dims.has_bias != 0u) {
    value += bias[col];
  }
  if (dims.beta != 0.0) {
    value += dims.beta * out[at];
  }
  out[at] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * ROWS;
  // Rows and columns beyond the edge repeat the last one: their sums are made and not stored.
  let rows = dims.a_offset + min(row + vec4u(0u, 1u, 2u, 3u), vec4u(dims.m - 1u)) * dims.a_row;
  let by_columns = dims.b_col == 1u;
  let columns = select(4u, COLUMNS, by_columns);
  let parts = LANES / columns;
  let column = select(lane / parts, lane % columns, by_columns);
  let part = select(lane % parts, lane / columns, by_columns);
  let next = select(1u, columns, by_columns);
  for (var first = 0u; first < COLUMNS; first += columns) {
    let col = group.x * COLUMNS + first + column;
    let b_at = dims.b_offset + min(col, dims.n - 1u) * dims.b_col;
    var sum = vec4f();
    for (var k = part; k < dims.k; k += parts) {
      let x = rows + k * dims.a_col;
      sum += right(b_at + k * dims.b_row) * vec4f(a[x.x], a[x.y], a[x.z], a[x.w]);
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (part == 0u) {
      for (var p = 1u; p < parts; p++) {
        sum += partial[lane + p * next];
      }
      store(row, col, sum.x);
      store(row + 1u, col, sum.y);
      store(row + 2u, col, sum.z);
      store(row + 3u, col, sum.w);
    }
    workgroupBarrier();
  }
}
