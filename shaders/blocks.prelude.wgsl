// Blocks of 4 x 4 elements in registers: a block of the left operand holds four rows for each of four steps of the
// depth, one of the right operand four columns.

/// sum[i] += x[i] y: one step of the depth, for four rows x and four columns y.
fn add_outer(sum: mat4x4f, x: vec4f, y: vec4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(x.x), y, sum[0]),
    fma(vec4f(x.y), y, sum[1]),
    fma(vec4f(x.z), y, sum[2]),
    fma(vec4f(x.w), y, sum[3]),
  );
}

/// The products of two blocks, step by step of the depth.
fn add_block(sum: mat4x4f, x: mat4x4f, y: mat4x4f) -> mat4x4f {
  return add_outer(add_outer(add_outer(add_outer(sum, x[0], y[0]), x[1], y[1]), x[2], y[2]), x[3], y[3]);
}

/// A block with the depth as its columns: transposed where it was read along the depth.
fn turn(block: mat4x4f, along: bool) -> mat4x4f {
  if (along) {
    return transpose(block);
  }
  return block;
}

/// The first one, two or three steps of a block; 0 for the others.
fn cut(block: mat4x4f, steps: u32) -> mat4x4f {
  let zero = vec4f();
  return mat4x4f(block[0], select(zero, block[1], steps > 1u), select(zero, block[2], steps > 2u), zero);
}
