// Matrix product for results of few columns, as x A^T of an adapter. The columns of a are contiguous.
//
// Grid: (ceil(n / 8), ceil(m / 4), batch). A lane makes 4 x 8 elements of its part of the depth, along which all lanes
// lie.
// Reference: BLAS gemm, with BLIS's row and column strides.

fn sums_of(lane: u32, batch: u32, row: u32, col: u32, b_along: bool) -> Sums {
  let left = layout_a(batch);
  let right = layout_b(batch);
  var a_at = left.at + row * left.side + lane * 4u;
  var b_at = right.at + col * right.side + lane * 4u * right.depth;
  let end = depth_of(batch);
  let b_next = select(right.depth, right.side, b_along);
  var sums: Sums;
  for (var k = lane * 4u; k < end; k += LANES * 4u) {
    var x = transpose(a_block(a_at, left.side));
    var low = turn(b_block(b_at, b_next), b_along);
    var high = turn(b_block(b_at + 4u * right.side, b_next), b_along);
    if (k + 4u > end) {
      x = cut(x, end - k);
      low = cut(low, end - k);
      high = cut(high, end - k);
    }
    sums.low = add_block(sums.low, x, low);
    sums.high = add_block(sums.high, x, high);
    a_at += LANES * 4u;
    b_at += LANES * 4u * right.depth;
  }
  return sums;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 4u;
  let col = group.x * 8u;
  if (row >= rows_of(group.z) || col >= columns_of(group.z)) {
    return;
  }
  prepare_b(lane);
  var sums: Sums;
  // A loop for each way that b may lie: with constants, transposing a block moves nothing.
  if (layout_b(0u).depth == 1u) {
    sums = sums_of(lane, group.z, row, col, true);
  } else {
    sums = sums_of(lane, group.z, row, col, false);
  }
  let sum = total(sums, lane, 1u);
  if (lane < 8u) {
    store_four(group.z, row + lane % 4u, col + lane / 4u * 4u, sum);
  }
}
