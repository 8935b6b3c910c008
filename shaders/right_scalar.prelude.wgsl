// Four neighbouring elements of b, in f32 or f16, one by one: for any strides, offsets and sizes; beyond an edge
// unused.

fn b_at(at: u32) -> vec4u {
  let i = min(at + vec4u(0u, 1u, 2u, 3u), vec4u((arrayLength(&b) << b_type) - 1u));
  return vec4u(b_word(i.x), b_word(i.y), b_word(i.z), b_word(i.w));
}

/// The bits of an element, in f32.
fn b_word(i: u32) -> u32 {
  if (b_type == TYPE_F16) {
    return bitcast<u32>(unpack2x16float(b[i >> 1u])[i & 1u]);
  }
  return b[i];
}

fn widen_b(four: vec4u) -> vec4f {
  return bitcast<vec4f>(four);
}

fn prepare_b(lane: u32) {
}
