// Matrix product by tiles of 64 x 64: out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col; a_row or a_col is 1
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col, b_row or b_col is 1; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 64), ceil(m / 64)). A lane makes 8 x 8 elements, in blocks of 4 x 4 that lie 32 apart, so
// that neighbouring lanes read neighbouring vectors. The depth is added up in its order. Reference: BLAS gemm, with BLIS's
// row and column strides.

const SIDE = 64u;
const DEPTH = 16u;

/// Rows own_row * 4 and 32 further, columns likewise.
struct Sums {
  s00: mat4x4f,
  s01: mat4x4f,
  s10: mat4x4f,
  s11: mat4x4f,
}

fn add(sums: ptr<function, Sums>, a0: vec4f, a1: vec4f, b0: vec4f, b1: vec4f) {
  (*sums).s00 = add_outer((*sums).s00, a0, b0);
  (*sums).s01 = add_outer((*sums).s01, a0, b1);
  (*sums).s10 = add_outer((*sums).s10, a1, b0);
  (*sums).s11 = add_outer((*sums).s11, a1, b1);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * SIDE;
  let col = group.x * SIDE;
  let a_along = dims.a_col == 1u;
  let b_along = dims.b_row == 1u;
  var from_a = source(lane, a_along, row, dims.a_row, dims.a_col);
  var from_b = source(lane, b_along, col, dims.b_col, dims.b_row);
  from_a.at += dims.a_offset;
  var for_a = fetch_a(from_a);
  var for_b = fetch_b(from_b);
  let own_row = lane / 8u;
  let own_col = lane % 8u;
  var sums: Sums;
  for (var first = 0u; first < dims.k; first += DEPTH) {
    put_a(from_a, a_along, for_a);
    put_b(from_b, b_along, for_b);
    workgroupBarrier();
    let left = dims.k - first;
    // The next blocks are on their way while these are used.
    if (left > DEPTH) {
      from_a.at += DEPTH * dims.a_col;
      from_b.at += DEPTH * dims.b_row;
      for_a = fetch_a(from_a);
      for_b = fetch_b(from_b);
    }
    let depth = min(left, DEPTH);
    let full = depth / 4u;
    for (var part = 0u; part < PARTS; part++) {
      if (part == full) {
        break;
      }
      let y = part * SIDE + (own_row ^ (part * SWIZZLE)) % 8u;
      let x = part * SIDE + (own_col ^ (part * SWIZZLE)) % 8u;
      for (var i = 0u; i < 4u; i++) {
        add(
          &sums,
          tile_a[y + i * BLOCKS],
          tile_a[y + i * BLOCKS + 8u],
          tile_b[x + i * BLOCKS],
          tile_b[x + i * BLOCKS + 8u],
        );
      }
    }
    // Steps of the last tile that make no four.
    let y = full % PARTS * SIDE + (own_row ^ (full * SWIZZLE)) % 8u;
    let x = full % PARTS * SIDE + (own_col ^ (full * SWIZZLE)) % 8u;
    for (var i = 0u; i < depth % 4u; i++) {
      add(
        &sums,
        tile_a[y + i % 4u * BLOCKS],
        tile_a[y + i % 4u * BLOCKS + 8u],
        tile_b[x + i % 4u * BLOCKS],
        tile_b[x + i % 4u * BLOCKS + 8u],
      );
    }
    workgroupBarrier();
  }
  store_tile(lane, row, col, sums.s00);
  store_tile(lane, row, col + 32u, sums.s01);
  store_tile(lane, row + 32u, col, sums.s10);
  store_tile(lane, row + 32u, col + 32u, sums.s11);
}
