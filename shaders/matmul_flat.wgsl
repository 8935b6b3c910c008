// Matrix product for results of few rows, as the gradient of a classifier's head. The rows of a and the columns of b
// are contiguous.
//
// Grid: (ceil(n / 16), ceil(m / 8), batch). A lane makes 8 x 4 elements of its part of the depth. Reference: BLAS gemm,
// with BLIS's row and column strides.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_b(lane);
  let left = layout_a(group.z);
  let right = layout_b(group.z);
  let end = depth_of(group.z);
  let row = group.y * 8u;
  if (row >= rows_of(group.z) || group.x * 4u * SIDES >= columns_of(group.z)) {
    return;
  }
  let col = (group.x * SIDES + lane % SIDES) * 4u;
  let first = lane / SIDES * 4u;
  var a_at = left.at + row + first * left.depth;
  var b_at = right.at + col + first * right.depth;
  var sums: Sums;
  for (var k = first; k < end; k += LANES / SIDES * 4u) {
    var low = a_block(a_at, left.depth);
    var high = a_block(a_at + 4u, left.depth);
    var y = b_block(b_at, right.depth);
    if (k + 4u > end) {
      low = cut(low, end - k);
      high = cut(high, end - k);
      y = cut(y, end - k);
    }
    sums.low = add_block(sums.low, low, y);
    sums.high = add_block(sums.high, high, y);
    a_at += LANES / SIDES * 4u * left.depth;
    b_at += LANES / SIDES * 4u * right.depth;
  }
  let sum = total(sums, lane, SIDES);
  let vector = lane / SIDES;
  if (vector < 8u) {
    store_four(group.z, row + vector, col, sum);
  }
}
