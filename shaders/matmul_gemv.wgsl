// Matrix product for a few rows, as in token-by-token generation. The columns of a are contiguous.
//
// Grid: (ceil(n / 16), ceil(m / 4), batch). A lane makes 4 x 4 elements of a part of the depth: 4 lanes lie along the
// columns, 32 along the depth, neighbours along what lies side by side in b. Then half of the lanes add up the parts of
// an element each, in an order that does not depend on m. Reference: BLAS gemv, with BLIS's strides.

const LANES = 128u;
const SIDES = 4u;
const PARTS = LANES / SIDES;
const STEP = PARTS * 4u;

/// Each lane's four rows: a row of all lanes behind the other, a part behind the other in a row.
var<workgroup> partial: array<vec4f, 4u * LANES>;

fn sums_of(batch: u32, row: u32, col: u32, part: u32, b_along: bool) -> mat4x4f {
  let left = layout_a(batch);
  let right = layout_b(batch);
  var at_a = left.at + row * left.side + part * 4u;
  var at_b = right.at + col * right.side + part * 4u * right.depth;
  let end = depth_of(batch);
  let b_next = select(right.depth, right.side, b_along);
  var sums: mat4x4f;
  for (var k = part * 4u; k < end; k += STEP) {
    var x = transpose(a_block(at_a, left.side));
    var y = turn(b_block(at_b, b_next), b_along);
    if (k + 4u > end) {
      x = cut(x, end - k);
      y = cut(y, end - k);
    }
    sums = add_block(sums, x, y);
    at_a += STEP;
    at_b += STEP * right.depth;
  }
  return sums;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  prepare_b(lane);
  let b_along = layout_b(0u).depth == 1u;
  let side = select(lane % SIDES, lane / PARTS, b_along);
  let part = select(lane / SIDES, lane % PARTS, b_along);
  let row = group.y * 4u;
  let col = group.x * 4u * SIDES;
  var sums: mat4x4f;
  // A loop for each way that b may lie: with constants, transposing a block moves nothing.
  if (b_along) {
    sums = sums_of(group.z, row, col + side * 4u, part, true);
  } else {
    sums = sums_of(group.z, row, col + side * 4u, part, false);
  }
  let own = part % PARTS * SIDES + side % SIDES;
  partial[own] = sums[0];
  partial[own + LANES] = sums[1];
  partial[own + 2u * LANES] = sums[2];
  partial[own + 3u * LANES] = sums[3];
  workgroupBarrier();
  if (lane < 64u) {
    let first = lane / 16u % 4u * LANES + lane % 16u / 4u;
    let own_row = row + lane / 16u;
    let own_col = col + lane % 16u;
    var sum = adapter_sum(group.z, own_row, own_col);
    for (var i = 0u; i < PARTS; i++) {
      sum += partial[first + i * SIDES][lane % 4u];
    }
    store(group.z, own_row, own_col, sum);
  }
}
