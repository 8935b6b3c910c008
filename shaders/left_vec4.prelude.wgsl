// Four neighbouring elements of a in one load: where strides, offsets and sizes are multiples of 4. What lies beyond an
// edge is not used: an index beyond the end reads something.

fn a_at(at: u32) -> vec4f {
  return a[min(at >> 2u, arrayLength(&a) - 1u)];
}
