// Products whose depth the lanes of a workgroup share, in blocks of 4 x 4 read into registers.

/// Four vectors of b from element `at` on, `next` apart.
fn b_block(at: u32, next: u32) -> mat4x4f {
  return mat4x4f(
    widen_b(b_at(at)),
    widen_b(b_at(at + next)),
    widen_b(b_at(at + 2u * next)),
    widen_b(b_at(at + 3u * next)),
  );
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

/// The products of two blocks, step by step of the depth.
fn add_block(sum: mat4x4f, x: mat4x4f, y: mat4x4f) -> mat4x4f {
  return add_outer(add_outer(add_outer(add_outer(sum, x[0], y[0]), x[1], y[1]), x[2], y[2]), x[3], y[3]);
}
