// Blocks of the operands of a product: four vectors from element `at` on, `next` apart.

fn a_block(at: u32, next: u32) -> mat4x4f {
  return mat4x4f(a_at(at), a_at(at + next), a_at(at + 2u * next), a_at(at + 3u * next));
}

fn b_block(at: u32, next: u32) -> mat4x4f {
  return mat4x4f(
    widen_b(b_at(at)),
    widen_b(b_at(at + next)),
    widen_b(b_at(at + 2u * next)),
    widen_b(b_at(at + 3u * next)),
  );
}
