// Matrix product for results of few rows, as the gradient of an adapter's A.
//
// Grid: (ceil(n / 4), ceil(m / 8), batch), with all lanes along the depth, where b is read along its columns, else
// (ceil(n / 16), ceil(m / 8), batch). Reference: BLAS gemm, with BLIS's row and column strides.

fn sums_of(own: Place, batch: u32, row: u32, col: u32, a_along: bool, b_along: bool) -> Sums {
  let left = layout_a(batch);
  let right = layout_b(batch);
  var a_at = left.at + row * left.side + own.part * 4u * left.depth;
  var b_at = right.at + col * right.side + own.part * 4u * right.depth;
  let a_next = select(left.depth, left.side, a_along);
  let b_next = select(right.depth, right.side, b_along);
  let step = LANES / own.sides * 4u;
  var sums: Sums;
  for (var k = own.part * 4u; k < dims.k; k += step) {
    var low = turn(a_block(a_at, a_next), a_along);
    var high = turn(a_block(a_at + 4u * left.side, a_next), a_along);
    var y = turn(b_block(b_at, b_next), b_along);
    if (k + 4u > dims.k) {
      low = cut(low, dims.k - k);
      high = cut(high, dims.k - k);
      y = cut(y, dims.k - k);
    }
    sums.low = add_block(sums.low, low, y);
    sums.high = add_block(sums.high, high, y);
    a_at += step * left.depth;
    b_at += step * right.depth;
  }
  return sums;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let a_along = layout_a(0u).depth == 1u;
  let b_along = layout_b(0u).depth == 1u;
  let own = place(lane, b_along);
  let row = group.y * 8u;
  let col = (group.x * own.sides + own.side) * 4u;
  var sums: Sums;
  // A loop of its own for weight gradients: with constants, nothing is transposed.
  if (a_along || b_along) {
    sums = sums_of(own, group.z, row, col, a_along, b_along);
  } else {
    sums = sums_of(own, group.z, row, col, false, false);
  }
  let sum = total(sums, lane, own.sides);
  let vector = lane / own.sides;
  if (vector < 8u) {
    store_four(group.z, row + vector, col, sum);
  }
}
