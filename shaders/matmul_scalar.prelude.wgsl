// Four neighbouring elements of a or b one by one: for any strides, offsets and sizes. What lies beyond an edge is not used:
// an index beyond the end reads something.

fn load_a(at: u32) -> vec4f {
  let i = min(at + vec4u(0u, 1u, 2u, 3u), vec4u(arrayLength(&a) - 1u));
  return vec4f(a[i.x], a[i.y], a[i.z], a[i.w]);
}

fn load_b(at: u32) -> vec4u {
  let last = (arrayLength(&b) << b_half) - 1u;
  let i = min(at + vec4u(0u, 1u, 2u, 3u), vec4u(last));
  return bitcast<vec4u>(vec4f(b_at(i.x), b_at(i.y), b_at(i.z), b_at(i.w)));
}

fn widen_b(four: vec4u) -> vec4f {
  return bitcast<vec4f>(four);
}
