// Matrix product of general strides, for a few rows, as where a text is written token by token:
// out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col; a_row or a_col is 1
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col, b_row or b_col is 1; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 16), ceil(m / 4)). A lane makes 4 x 4 elements of a part of the depth: 4 lanes lie along the columns, 32
// along the depth, neighbours along what lies side by side in b. Then half of the lanes add up the parts of an element each, in
// an order that does not depend on m. Reference: BLAS gemv, with BLIS's strides.

const LANES = 128u;
const SIDES = 4u;
const PARTS = LANES / SIDES;
const STEP = PARTS * 4u;

/// Each lane's four rows: a row of all lanes behind the other, a part behind the other in a row.
var<workgroup> partial: array<vec4f, 4u * LANES>;

fn sums_of(row: u32, col: u32, part: u32, a_along: bool, b_along: bool) -> mat4x4f {
  var at_a = dims.a_offset + row * dims.a_row + part * 4u * dims.a_col;
  var at_b = col * dims.b_col + part * 4u * dims.b_row;
  let a_next = select(dims.a_col, dims.a_row, a_along);
  let b_next = select(dims.b_row, dims.b_col, b_along);
  var sums: mat4x4f;
  for (var k = part * 4u; k < dims.k; k += STEP) {
    var x = turn(a_block(at_a, a_next), a_along);
    var y = turn(b_block(at_b, b_next), b_along);
    if (k + 4u > dims.k) {
      x = cut(x, dims.k - k);
      y = cut(y, dims.k - k);
    }
    sums = add_block(sums, x, y);
    at_a += STEP * dims.a_col;
    at_b += STEP * dims.b_row;
  }
  return sums;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let b_along = dims.b_row == 1u;
  let side = select(lane % SIDES, lane / PARTS, b_along);
  let part = select(lane / SIDES, lane % PARTS, b_along);
  let row = group.y * 4u;
  let col = group.x * 4u * SIDES;
  var sums: mat4x4f;
  // A loop for each way to lie that is frequent: with constants, transposing a block moves nothing.
  if (dims.a_col != 1u) {
    sums = sums_of(row, col + side * 4u, part, false, b_along);
  } else if (b_along) {
    sums = sums_of(row, col + side * 4u, part, true, true);
  } else {
    sums = sums_of(row, col + side * 4u, part, true, false);
  }
  let own = part % PARTS * SIDES + side % SIDES;
  partial[own] = sums[0];
  partial[own + LANES] = sums[1];
  partial[own + 2u * LANES] = sums[2];
  partial[own + 3u * LANES] = sums[3];
  workgroupBarrier();
  if (lane < 64u) {
    let first = lane / 16u % 4u * LANES + lane % 16u / 4u;
    var sum = 0.0;
    for (var i = 0u; i < PARTS; i++) {
      sum += partial[first + i * SIDES][lane % 4u];
    }
    store(row + lane / 16u, col + lane % 16u, sum);
  }
}
