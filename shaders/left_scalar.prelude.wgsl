// Four neighbouring elements of a one by one: for any strides, offsets and sizes. What lies beyond an edge is not used:
// an index beyond the end reads something.

fn a_at(at: u32) -> vec4f {
  let i = min(at + vec4u(0u, 1u, 2u, 3u), vec4u(arrayLength(&a) - 1u));
  return vec4f(a[i.x], a[i.y], a[i.z], a[i.w]);
}
