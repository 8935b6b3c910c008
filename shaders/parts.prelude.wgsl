// Results with a short side: a lane makes 4 elements along the long side and 8 along the short one, of its part of the
// depth; then the workgroup adds the parts up, in an order that does not depend on the number of rows. Of its lanes, 1
// or SIDES lie along the long side (64 bytes in a row), the others along the depth.

const LANES = 64u;
const SIDES = 4u;

/// A lane's eight vectors, one vector of all lanes behind the other.
var<workgroup> partial: array<vec4f, 8u * LANES>;

/// A lane's eight vectors of sums.
struct Sums {
  low: mat4x4f,
  high: mat4x4f,
}

/// Adds up the parts of the depth. The lanes below 8 * sides get the sum of vector lane / sides, of their side.
fn total(sums: Sums, index: u32, sides: u32) -> vec4f {
  let lane = index % LANES;
  partial[lane] = sums.low[0];
  partial[LANES + lane] = sums.low[1];
  partial[2u * LANES + lane] = sums.low[2];
  partial[3u * LANES + lane] = sums.low[3];
  partial[4u * LANES + lane] = sums.high[0];
  partial[5u * LANES + lane] = sums.high[1];
  partial[6u * LANES + lane] = sums.high[2];
  partial[7u * LANES + lane] = sums.high[3];
  workgroupBarrier();
  // All lanes add up every eighth lane's vectors; then one lane adds what is left of a vector.
  let own = lane / 8u * LANES + lane % 8u;
  var sum = partial[own];
  for (var i = 1u; i < 8u; i++) {
    sum += partial[own + 8u * i];
  }
  partial[own] = sum;
  workgroupBarrier();
  let vector = lane / sides % 8u * LANES;
  sum = partial[vector + lane % sides % 8u];
  for (var i = 1u; i < 8u; i++) {
    if (i * sides >= 8u) {
      break;
    }
    sum += partial[vector + (lane % sides + i * sides) % 8u];
  }
  return sum;
}
