// Rotary position embedding in place, or its inverse (sign = -1): number i of a head is rotated together with number
// i + D / 2, D = rotated. The numbers behind the first D stay as they are.
//
//   a = table[p, i], b = sign * table[p, D / 2 + i], p = n - bounds[n].start + shift
//   x[n, h, i] = x[n, h, i] * a - x[n, h, D / 2 + i] * b
//   x[n, h, D / 2 + i] = x[n, h, D / 2 + i] * a + x[n, h, i] * b
//
//   x       (updates)  [room, width]: `heads` heads of head_size numbers, then what stays as it is
//   table   (read)     [positions, rotated]: the cosines of a position's angles, then their sines
//   bounds  (read)     [tokens, 2]: where the token's sequence starts and ends in the packed batch
//
// Grid: (ceil(heads * D / 2 / 64), tokens). Reference: transformers apply_rotary_pos_emb of GPT-NeoX.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let half = dims.rotated / 2u;
  let n = at.y;
  if (at.x >= dims.heads * half || n >= dims.tokens) {
    return;
  }
  let i = at.x % half;
  let angle = (n - bounds[n].x + dims.shift) * dims.rotated + i;
  let a = table[angle];
  let b = dims.sign * table[angle + half];
  let first = n * dims.width + at.x / half * dims.head_size + i;
  let second = first + half;
  let u = x[first];
  let v = x[second];
  x[first] = u * a - v * b;
  x[second] = v * a + u * b;
}
