// Blocks of 4 x 4 elements: what the shaders that make products out of them share. A block of a lies in four registers, one
// for each of four steps of the depth, of four rows each; a block of b likewise, of four columns each.

/// sum[i] += x[i] y: one step of the depth, for four rows x and four columns y.
fn add_outer(sum: mat4x4f, x: vec4f, y: vec4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(x.x), y, sum[0]),
    fma(vec4f(x.y), y, sum[1]),
    fma(vec4f(x.z), y, sum[2]),
    fma(vec4f(x.w), y, sum[3]),
  );
}

/// Four vectors of a from element `at` on, `next` apart.
fn a_block(at: u32, next: u32) -> mat4x4f {
  return mat4x4f(a_at(at), a_at(at + next), a_at(at + 2u * next), a_at(at + 3u * next));
}
