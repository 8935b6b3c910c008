// Matrix product without workgroup memory, for devices where registers and caches are faster. What the operands are is
// in the preludes matmul and linear.
//
// Grid: (ceil(n / 32), ceil(m / 32), batch). A lane makes 4 x 4 elements of blocks that it reads itself; lanes lie 8 x
// 8, so that they find each other's in the cache. The depth is added up in its order, as by matmul_wide: the same bits.
// Reference: BLAS gemm, with BLIS's row and column strides.

/// The first one, two or three steps of two blocks.
fn add_steps(sums: mat4x4f, x: mat4x4f, y: mat4x4f, steps: u32) -> mat4x4f {
  var s = add_outer(sums, x[0], y[0]);
  if (steps > 1u) {
    s = add_outer(s, x[1], y[1]);
  }
  if (steps > 2u) {
    s = add_outer(s, x[2], y[2]);
  }
  return s;
}

fn sums_of(batch: u32, row: u32, col: u32, a_along: bool, b_along: bool) -> mat4x4f {
  let left = layout_a(batch);
  let right = layout_b(batch);
  let a_next = select(left.depth, left.side, a_along);
  let b_next = select(right.depth, right.side, b_along);
  let depth = depth_of(batch);
  var at_a = left.at + row * left.side;
  var at_b = right.at + col * right.side;
  var sums: mat4x4f;
  for (var k = 0u; k < depth / 4u; k++) {
    sums = add_block(sums, turn(a_block(at_a, a_next), a_along), turn(b_block(at_b, b_next), b_along));
    at_a += 4u * left.depth;
    at_b += 4u * right.depth;
  }
  if (depth % 4u > 0u) {
    let y = turn(b_block(at_b, b_next), b_along);
    sums = add_steps(sums, turn(a_block(at_a, a_next), a_along), y, depth % 4u);
  }
  let adapters = adapter_depth(batch);
  for (var k = 0u; k < adapters / 4u; k++) {
    sums = add_block(sums, transpose(adapter_a(batch, row, 4u * k)), adapter_b(batch, col, 4u * k));
  }
  if (adapters % 4u > 0u) {
    let k = adapters / 4u * 4u;
    sums = add_steps(sums, transpose(adapter_a(batch, row, k)), adapter_b(batch, col, k), adapters % 4u);
  }
  return sums;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let batch = group.z;
  let row = group.y * 32u + lane / 8u * 4u;
  let col = group.x * 32u + lane % 8u * 4u;
  if (row >= rows_of(batch) || col >= columns_of(batch)) {
    return;
  }
  let a_along = layout_a(batch).depth == 1u;
  let b_along = layout_b(batch).depth == 1u;
  var sums: mat4x4f;
  // A loop for each way that a and b may lie: with constants, transposing a block moves nothing.
  if (a_along && b_along) {
    sums = sums_of(batch, row, col, true, true);
  } else if (a_along) {
    sums = sums_of(batch, row, col, true, false);
  } else if (b_along) {
    sums = sums_of(batch, row, col, false, true);
  } else {
    sums = sums_of(batch, row, col, false, false);
  }
  var columns = transpose(sums);
  for (var i = 0u; i < 4u; i++) {
    store_rows(batch, row + vec4u(0u, 1u, 2u, 3u), col + i, columns[0]);
    columns = mat4x4f(columns[1], columns[2], columns[3], columns[0]);
  }
}
