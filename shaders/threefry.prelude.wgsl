// Threefry-2x32 with 20 rounds, a counter-based generator (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1,
// 2, 3"; its constants are those of Random123).

fn mixed(x: vec2u, by: u32) -> vec2u {
  let sum = x.x + x.y;
  return vec2u(sum, sum ^ ((x.y << by) | (x.y >> (32u - by))));
}

fn threefry(key: vec2u, counter: vec2u) -> vec2u {
  var keys = vec3u(key, key.x ^ key.y ^ 0x1bd11bdau);
  var x = counter + key;
  for (var i = 1u; i < 6u; i++) {
    let by = select(vec4u(13u, 15u, 26u, 6u), vec4u(17u, 29u, 16u, 24u), i % 2u == 0u);
    keys = keys.yzx;
    x = mixed(mixed(mixed(mixed(x, by.x), by.y), by.z), by.w) + keys.xy + vec2u(0u, i);
  }
  return x;
}
