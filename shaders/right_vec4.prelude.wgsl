// Four neighbouring elements of b, in f32 or f16, in one load: where strides, offsets and sizes are multiples of 4, of
// 8 for f16. What lies beyond an edge is not used.

/// As they lie there; halves in x and y. They are widened where they are used, so that nothing waits for the load
/// before.
fn b_at(at: u32) -> vec4u {
  if (b_type == TYPE_F16) {
    let word = min(at >> 3u, arrayLength(&b) - 1u);
    let first = (at >> 1u) & 2u;
    return vec4u(b[word][first], b[word][first + 1u], 0u, 0u);
  }
  return b[min(at >> 2u, arrayLength(&b) - 1u)];
}

fn widen_b(four: vec4u) -> vec4f {
  if (b_type == TYPE_F16) {
    return vec4f(unpack2x16float(four.x), unpack2x16float(four.y));
  }
  return bitcast<vec4f>(four);
}

/// Every lane of a workgroup calls this before it uses an element of b.
fn prepare_b(lane: u32) {
}
