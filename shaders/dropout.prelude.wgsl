// The masks of dropout, of numbers by Threefry.

/// The mask of x, four columns of a row: those at 4 * at.
fn dropped(x: vec4f, row: u32, at: u32) -> vec4f {
  let draw = draws[row];
  if (draw.x == 0u) {
    return x;
  }
  let bits = threefry(vec2u(dims.seed, dims.matrix), vec2u(draw.x, draw.y * (dims.cols / 4u) + at)).xxyy;
  let halves = vec4u(bits.x & 0xffffu, bits.y >> 16u, bits.z & 0xffffu, bits.w >> 16u);
  return select(vec4f(), x * dims.scale, halves >= vec4u(dims.threshold));
}
