// Matrix product by tiles of 64 x 64. What the operands are is in the preludes matmul and linear.
//
// Grid: (ceil(n / 64), ceil(m / 64), batch). A lane makes 8 x 8 elements, in blocks of 4 x 4 that lie 32 apart, so
// that neighbouring lanes read neighbouring vectors. The depth is added up in its order. Reference: BLAS gemm, with
// BLIS's row and column strides.

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
  let batch = group.z;
  let row = group.y * SIDE;
  let col = group.x * SIDE;
  if (row >= rows_of(batch) || col >= columns_of(batch)) {
    return;
  }
  let left = layout_a(batch);
  let right = layout_b(batch);
  let a_along = left.depth == 1u;
  let b_along = right.depth == 1u;
  var from_a = source(lane, left, row);
  var from_b = source(lane, right, col);
  var for_a = fetch_a(from_a);
  var for_b = fetch_b(from_b);
  prepare_b(lane);
  let own_row = lane / 8u;
  let own_col = lane % 8u;
  // The tiles of the product itself, then those of its adapters.
  let k = depth_of(batch);
  let adapters = adapter_depth(batch);
  let own_tiles = (k + DEPTH - 1u) / DEPTH;
  let tiles = own_tiles + (adapters + DEPTH - 1u) / DEPTH;
  var sums: Sums;
  for (var tile = 0u; tile < tiles; tile++) {
    put_a(from_a, a_along, for_a);
    put_b(from_b, b_along, for_b, tile >= own_tiles);
    workgroupBarrier();
    // The next blocks are on their way while these are used.
    let next = tile + 1u;
    if (next < own_tiles) {
      from_a.at += DEPTH * left.depth;
      from_b.at += DEPTH * right.depth;
      for_a = fetch_a(from_a);
      for_b = fetch_b(from_b);
    } else if (next < tiles) {
      let first = (next - own_tiles) * DEPTH;
      for_a = adapter_a(batch, row + from_a.block * 4u, first + from_a.part * 4u);
      for_b = fetch_adapter_b(batch, from_b, b_along, col, first);
    }
    let depth = min(select(k - tile * DEPTH, adapters - (tile - own_tiles) * DEPTH, tile >= own_tiles), DEPTH);
    let full = depth / 4u;
    for (var part = 0u; part < PARTS; part++) {
      if (part == full) {
        break;
      }
      let y = part * SIDE + (own_row ^ (part * SWIZZLE)) % 8u;
      let x = part * SIDE + (own_col ^ (part * SWIZZLE)) % 8u;
      @unroll for (var i = 0u; i < 4u; i++) {
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
  // One call in a loop: four copies of the epilogue would take a compiler as long as all the rest.
  for (var i = 0u; i < 4u; i++) {
    var quarter = sums.s00;
    if (i == 1u) {
      quarter = sums.s01;
    } else if (i == 2u) {
      quarter = sums.s10;
    } else if (i == 3u) {
      quarter = sums.s11;
    }
    store_tile(lane, batch, row + i / 2u * 32u, col + i % 2u * 32u, quarter);
  }
}
