// Matrix product for results of few columns, as an adapter's A gives.
//
// Grid: (ceil(n / 8), ceil(m / 4), batch), with all lanes along the depth, where a's columns lie side by side, else
// (ceil(n / 8), ceil(m / 16), batch). Reference: BLAS gemm, with BLIS's row and column strides.

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
    var x = turn(a_block(a_at, a_next), a_along);
    var low = turn(b_block(b_at, b_next), b_along);
    var high = turn(b_block(b_at + 4u * right.side, b_next), b_along);
    if (k + 4u > dims.k) {
      x = cut(x, dims.k - k);
      low = cut(low, dims.k - k);
      high = cut(high, dims.k - k);
    }
    sums.low = add_block(sums.low, x, low);
    sums.high = add_block(sums.high, x, high);
    a_at += step * left.depth;
    b_at += step * right.depth;
  }
  return sums;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let a_along = layout_a(0u).depth == 1u;
  let b_along = layout_b(0u).depth == 1u;
  let own = place(lane, a_along);
  let row = (group.y * own.sides + own.side) * 4u;
  let col = group.x * 8u;
  var sums: Sums;
  // A loop for each way to lie that is frequent: with constants, transposing a block moves nothing.
  if (a_along && b_along) {
    sums = sums_of(own, group.z, row, col, true, true);
  } else if (a_along) {
    sums = sums_of(own, group.z, row, col, true, false);
  } else {
    sums = sums_of(own, group.z, row, col, false, b_along);
  }
  let sum = total(sums, lane, own.sides);
  let vector = lane / own.sides;
  if (vector < 8u) {
    store_four(group.z, row + vector % 4u, col + vector / 4u * 4u, sum);
  }
}
