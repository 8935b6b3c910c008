// Matrix product for results of few rows, as the gradient of an adapter's A: out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col; a_row or a_col is 1
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col, b_row or b_col is 1; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 4), ceil(m / 8)), with all lanes along the depth, where b is read along its columns, else
// (ceil(n / 16), ceil(m / 8)). Reference: BLAS gemm, with BLIS's row and column strides.

fn sums_of(own: Place, row: u32, col: u32, a_along: bool, b_along: bool) -> Sums {
  var a_at = dims.a_offset + row * dims.a_row + own.part * 4u * dims.a_col;
  var b_at = col * dims.b_col + own.part * 4u * dims.b_row;
  let a_next = select(dims.a_col, dims.a_row, a_along);
  let b_next = select(dims.b_row, dims.b_col, b_along);
  let step = LANES / own.sides * 4u;
  var sums: Sums;
  for (var k = own.part * 4u; k < dims.k; k += step) {
    var low = turn(a_block(a_at, a_next), a_along);
    var high = turn(a_block(a_at + 4u * dims.a_row, a_next), a_along);
    var y = turn(b_block(b_at, b_next), b_along);
    if (k + 4u > dims.k) {
      low = cut(low, dims.k - k);
      high = cut(high, dims.k - k);
      y = cut(y, dims.k - k);
    }
    sums.low = add_block(sums.low, low, y);
    sums.high = add_block(sums.high, high, y);
    a_at += step * dims.a_col;
    b_at += step * dims.b_row;
  }
  return sums;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let a_along = dims.a_col == 1u;
  let b_along = dims.b_row == 1u;
  let own = place(lane, b_along);
  let row = group.y * 8u;
  let col = (group.x * own.sides + own.side) * 4u;
  var sums: Sums;
  // A loop of its own for weight gradients: with constants, nothing is transposed.
  if (a_along || b_along) {
    sums = sums_of(own, row, col, a_along, b_along);
  } else {
    sums = sums_of(own, row, col, false, false);
  }
  let sum = total(sums, lane, own.sides);
  let vector = lane / own.sides;
  if (vector < 8u) {
    store_four(row + vector, col, sum);
  }
}
