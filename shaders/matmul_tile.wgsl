// Matrix product by tiles of SIDE x SIDE elements of out: 64 x 64, or 32 x 32 from four times as many workgroups. What
// the operands are is in the preludes matmul and linear.
//
// Grid: (ceil(n / SIDE), ceil(m / SIDE), batch). A lane makes HALVES x HALVES blocks of 4 x 4 elements that lie 32
// apart, so that neighbouring lanes read neighbouring vectors. The depth is added up in its order, in one sum per
// element: the same bits for both sides. Reference: BLAS gemm, with BLIS's row and column strides.
//
// Tiles of a and of b are kept in workgroup memory, SIDE x DEPTH elements each, in vectors of four rows (of b:
// columns), BLOCKS of them for each step of the depth. A lane brings one block of 4 x 4 to each tile. Vectors are
// swizzled, so that neither the lanes that write nor those that read meet in a bank. Dawn clamps indices that it cannot
// prove to be inside: these are made of %, loop counters and constants in one function, which it can.

const SIDE = 32u * HALVES;
const DEPTH = 32u / HALVES;
const LANES = 64u;
/// Blocks along a side and along the depth of a tile; BLOCKS * PARTS = LANES.
const BLOCKS = SIDE / 4u;
const PARTS = DEPTH / 4u;
const SWIZZLE = 8u / PARTS;

var<workgroup> tile_a: array<vec4f, SIDE * PARTS>;
var<workgroup> tile_b: array<vec4f, SIDE * PARTS>;

/// The block that a lane brings to a tile: which one it is, where its first vector is in the operand, and how far the
/// next.
struct Source {
  block: u32,
  part: u32,
  at: u32,
  next: u32,
}

/// `along`: whether neighbours along the depth lie side by side, so that neighbouring lanes read along it.
fn source(lane: u32, operand: Layout, first: u32) -> Source {
  let along = operand.depth == 1u;
  let block = select(lane % BLOCKS, lane / PARTS, along);
  let part = select(lane / BLOCKS, lane % PARTS, along);
  let at = operand.at + (first + block * 4u) * operand.side + part * 4u * operand.depth;
  return Source(block, part, at, select(operand.depth, operand.side, along));
}

fn fetch_a(own: Source) -> mat4x4f {
  return a_block(own.at, own.next);
}

/// A block of b as it lies there.
struct Raw {
  v0: vec4u,
  v1: vec4u,
  v2: vec4u,
  v3: vec4u,
}

fn fetch_b(own: Source) -> Raw {
  return Raw(
    b_at(own.at),
    b_at(own.at + own.next),
    b_at(own.at + 2u * own.next),
    b_at(own.at + 3u * own.next),
  );
}

/// The same of the adapters, in f32.
fn fetch_adapter_b(batch: u32, own: Source, along: bool, col: u32, depth: u32) -> Raw {
  let block = turn(adapter_b(batch, col + own.block * 4u, depth + own.part * 4u), along);
  return Raw(bitcast<vec4u>(block[0]), bitcast<vec4u>(block[1]), bitcast<vec4u>(block[2]), bitcast<vec4u>(block[3]));
}

/// One branch for all of a block, so that none of its vectors waits for another.
fn widen(raw: Raw, is_float: bool) -> mat4x4f {
  if (is_float) {
    return mat4x4f(bitcast<vec4f>(raw.v0), bitcast<vec4f>(raw.v1), bitcast<vec4f>(raw.v2), bitcast<vec4f>(raw.v3));
  }
  return mat4x4f(widen_b(raw.v0), widen_b(raw.v1), widen_b(raw.v2), widen_b(raw.v3));
}

fn put_a(own: Source, along: bool, block: mat4x4f) {
  let at = own.part % PARTS * SIDE + (own.block ^ (own.part * SWIZZLE)) % BLOCKS;
  let x = turn(block, along);
  tile_a[at] = x[0];
  tile_a[at + BLOCKS] = x[1];
  tile_a[at + 2u * BLOCKS] = x[2];
  tile_a[at + 3u * BLOCKS] = x[3];
}

fn put_b(own: Source, along: bool, raw: Raw, is_float: bool) {
  let at = own.part % PARTS * SIDE + (own.block ^ (own.part * SWIZZLE)) % BLOCKS;
  let x = turn(widen(raw, is_float), along);
  tile_b[at] = x[0];
  tile_b[at + BLOCKS] = x[1];
  tile_b[at + 2u * BLOCKS] = x[2];
  tile_b[at + 3u * BLOCKS] = x[3];
}

/// Stores 32 x 32 sums, of which a lane has 4 x 4, by way of workgroup memory: so that neighbouring lanes write
/// neighbours.
fn store_tile(index: u32, batch: u32, row: u32, col: u32, sums: mat4x4f) {
  let lane = index % LANES;
  let own = lane / 8u * 32u + lane % 8u;
  tile_a[own] = sums[0];
  tile_a[own + 8u] = sums[1];
  tile_a[own + 16u] = sums[2];
  tile_a[own + 24u] = sums[3];
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) {
    let rows = lane / 32u + 8u * i;
    let at = rows * 8u + lane % 32u / 4u;
    let four = vec4f(
      tile_a[at][lane % 4u],
      tile_a[at + 16u][lane % 4u],
      tile_a[at + 32u][lane % 4u],
      tile_a[at + 48u][lane % 4u],
    );
    store_rows(batch, row + rows + vec4u(0u, 2u, 4u, 6u), col + lane % 32u, four);
  }
  workgroupBarrier();
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
  var sums: array<mat4x4f, HALVES * HALVES>;
  var x: array<vec4f, HALVES>;
  var y: array<vec4f, HALVES>;
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
      let at_a = part * SIDE + (own_row ^ (part * SWIZZLE)) % 8u;
      let at_b = part * SIDE + (own_col ^ (part * SWIZZLE)) % 8u;
      @unroll for (var i = 0u; i < 4u; i++) {
        @unroll for (var h = 0u; h < HALVES; h++) {
          x[h] = tile_a[at_a + i * BLOCKS + 8u * h];
          y[h] = tile_b[at_b + i * BLOCKS + 8u * h];
        }
        @unroll for (var h = 0u; h < HALVES; h++) {
          @unroll for (var g = 0u; g < HALVES; g++) {
            sums[h * HALVES + g] = add_outer(sums[h * HALVES + g], x[h], y[g]);
          }
        }
      }
    }
    // Steps of the last tile that make no four.
    let at_a = full % PARTS * SIDE + (own_row ^ (full * SWIZZLE)) % 8u;
    let at_b = full % PARTS * SIDE + (own_col ^ (full * SWIZZLE)) % 8u;
    for (var i = 0u; i < depth % 4u; i++) {
      @unroll for (var h = 0u; h < HALVES; h++) {
        x[h] = tile_a[at_a + i % 4u * BLOCKS + 8u * h];
        y[h] = tile_b[at_b + i % 4u * BLOCKS + 8u * h];
      }
      @unroll for (var h = 0u; h < HALVES; h++) {
        @unroll for (var g = 0u; g < HALVES; g++) {
          sums[h * HALVES + g] = add_outer(sums[h * HALVES + g], x[h], y[g]);
        }
      }
    }
    workgroupBarrier();
  }
  // One call in a loop: four copies of the epilogue would take a compiler as long as all the rest.
  for (var i = 0u; i < HALVES * HALVES; i++) {
    var block = sums[0];
    @unroll for (var h = 0u; h < HALVES; h++) {
      @unroll for (var g = 0u; g < HALVES; g++) {
        if (i == h * HALVES + g) {
          block = sums[h * HALVES + g];
        }
      }
    }
    store_tile(lane, batch, row + i / HALVES * 32u, col + i % HALVES * 32u, block);
  }
}
