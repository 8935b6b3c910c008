// Matrix product by tiles of 32 x 32. What the operands are is in the preludes matmul and linear.
//
// Grid: (ceil(n / 32), ceil(m / 32), batch). A lane makes 4 x 4 elements. The depth is added up in its order, as by
// matmul_wide: the same bits from four times as many workgroups. Reference: BLAS gemm, with BLIS's row and column
// strides.

const SIDE = 32u;
const DEPTH = 32u;

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
  var sums: mat4x4f;
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
        sums = add_outer(sums, tile_a[y + i * BLOCKS], tile_b[x + i * BLOCKS]);
      }
    }
    // Steps of the last tile beyond a multiple of four.
    let y = full % PARTS * SIDE + (own_row ^ (full * SWIZZLE)) % 8u;
    let x = full % PARTS * SIDE + (own_col ^ (full * SWIZZLE)) % 8u;
    for (var i = 0u; i < depth % 4u; i++) {
      sums = add_outer(sums, tile_a[y + i % 4u * BLOCKS], tile_b[x + i % 4u * BLOCKS]);
    }
    workgroupBarrier();
  }
  store_tile(lane, batch, row, col, sums);
}
