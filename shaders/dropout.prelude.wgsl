// The masks of dropout: Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3";
// its constants are those of Random123).

fn mixed(x: vec2u, by: u32) -> vec2u {
  let sum = x.x + x.y;
  return vec2u(sum, sum ^ ((x.y << by) | (x.y >> (32u - by))));
}

fn even_rounds(x: vec2u) -> vec2u {
  return mixed(mixed(mixed(mixed(x, 13u), 15u), 26u), 6u);
}

fn odd_rounds(x: vec2u) -> vec2u {
  return mixed(mixed(mixed(mixed(x, 17u), 29u), 16u), 24u);
}

fn threefry(key: vec2u, counter: vec2u) -> vec2u {
  let third = key.x ^ key.y ^ 0x1bd11bdau;
  var x = even_rounds(counter + key) + vec2u(key.y, third + 1u);
  x = odd_rounds(x) + vec2u(third, key.x + 2u);
  x = even_rounds(x) + vec2u(key.x, key.y + 3u);
  x = odd_rounds(x) + vec2u(key.y, third + 4u);
  return even_rounds(x) + vec2u(third, key.x + 5u);
}

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
