// Tiles of a and of b in workgroup memory, SIDE x DEPTH elements each: what the shaders that make SIDE x SIDE elements
// of out in a workgroup share. All of them sum over the depth in order, in one sum per element: they give the same
// bits.
//
// A tile is kept in vectors of four rows (of b: columns), BLOCKS of them for each step of the depth. A lane brings one
// block of 4 x 4 to each tile. Vectors are swizzled, so that neither the lanes that write nor those that read meet in a
// bank. Dawn clamps indices that it cannot prove to be inside: these are made of %, loop counters and constants in one
// function, which it can.

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
