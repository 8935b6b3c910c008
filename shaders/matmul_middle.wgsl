// Matrix product by tiles of 32 x 32: out = beta * out + bias + alpha * a b.
//
//   out[i, j] = beta * out[i, j] + bias[j] + alpha * sum_k a[i, k] * b[k, j]
//
//   out   (write, read where beta != 0)  element [i, j] at out_offset + i * out_row + j
//   a     (read)  [m, k], element [i, k] at a_offset + i * a_row + k * a_col; a_row or a_col is 1
//   b     (read)  [k, n], element [k, j] at k * b_row + j * b_col, b_row or b_col is 1; two halves a word where b_half != 0
//   bias  (read)  [n], used where has_bias != 0
//
// Grid: (ceil(n / 32), ceil(m / 32)). A lane makes 4 x 4 elements. The depth is added up in its order, as by
// matmul_wide: the same bits from four times as many workgroups. Reference: BLAS gemm, with BLIS's row and column strides.

const SIDE = 32u;
const DEPTH = 32u;

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
  var sums: mat4x4f;
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
        sums = add_outer(sums, tile_a[y + i * BLOCKS], tile_b[x + i * BLOCKS]);
      }
    }
    // Steps of the last tile that make no four.
    let y = full % PARTS * SIDE + (own_row ^ (full * SWIZZLE)) % 8u;
    let x = full % PARTS * SIDE + (own_col ^ (full * SWIZZLE)) % 8u;
    for (var i = 0u; i < depth % 4u; i++) {
      sums = add_outer(sums, tile_a[y + i % 4u * BLOCKS], tile_b[x + i % 4u * BLOCKS]);
    }
    workgroupBarrier();
  }
  store_tile(lane, row, col, sums);
}
