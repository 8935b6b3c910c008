// What the attention kernels by tiles share: two tiles of 32 rows in workgroup memory, eight vec4 of each row at a
// time, and the products of their rows. Lanes are 8 x 8.

const LANES = 64u;
const TILE = 32u;
const DEPTH = 8u;

// Row 4 g + j lies in plane j, so that one index serves four reads.
var<workgroup> left: array<array<vec4f, 64>, 4>;
var<workgroup> right: array<array<vec4f, 64>, 4>;

// Where in its plane a row's vec4 lies: lanes that differ in either number find different banks.
fn place(row: u32, column: u32) -> u32 {
  return (column * 9u) ^ (row / 4u);
}

// The row of a key that the sequence from `start` sees. Keys are numbered from `start` on, the prefix's first: the key
// of a row n of the sequence is n + prefix.
fn key_row(key: u32, start: u32) -> u32 {
  if (prefix > 0u && key < start + prefix) {
    return dims.prefix_row + key - start;
  }
  return key - prefix;
}

// The end of the keys that the queries before `next` of a sequence see, which ends at `end`.
fn keys_end(next: u32, end: u32) -> u32 {
  return select(end, next, causal == 1u) + prefix;
}

// The last key that each of these queries sees.
fn last_keys(n: vec4u, end: u32) -> vec4u {
  return select(vec4u(end - 1u), n + vec4u(prefix), causal == 1u);
}

// A row of qkv, in vec4: queries of all heads, keys of the key-value heads, their values. Each of them serves
// heads / kv_heads consecutive heads.
fn qkv_width() -> u32 {
  return (dims.heads + 2u * dims.kv_heads) * (head_size / 4u);
}

// Where in such a row the keys (part 0) or the values (part 1) of a key-value head begin.
fn keyvalue_column(part: u32, kv_head: u32) -> u32 {
  return (dims.heads + part * dims.kv_heads + kv_head) * (head_size / 4u);
}

fn right_rows(at: u32) -> mat4x4f {
  return mat4x4f(right[0][at], right[1][at], right[2][at], right[3][at]);
}

fn add_row(sum: vec4f, by: vec4f, m: mat4x4f) -> vec4f {
  return sum + by.x * m[0] + by.y * m[1] + by.z * m[2] + by.w * m[3];
}

// sum[i] + m by[i], in the order of m's columns; by: four rows of `left`, read one by one to keep registers free.
fn add(sum: mat4x4f, at: u32, m: mat4x4f) -> mat4x4f {
  var s = sum;
  s[0] = add_row(s[0], left[0][at], m);
  s[1] = add_row(s[1], left[1][at], m);
  s[2] = add_row(s[2], left[2][at], m);
  s[3] = add_row(s[3], left[3][at], m);
  return s;
}

// The rows of which `right` holds whole heads.
fn held_rows() -> u32 {
  return min(TILE, 256u / (head_size / 4u) / 4u * 4u);
}

// Adds the products of the lane's four rows of `left` and the rows from j on that `right` holds.
fn add_held(sums: ptr<function, array<mat4x4f, 4>>, lane: u32, j: u32) {
  let size = head_size / 4u;
  for (var i = 0u; i < min(held_rows(), TILE - j); i += 4u) {
    let weights = place(4u * (lane / 8u), (j + i) / 4u);
    @unroll for (var c = 0u; c < 4u; c++) {
      if (c * 8u < size) {
        (*sums)[c] = add((*sums)[c], weights, right_rows(i / 4u * size + min(c * 8u + lane % 8u, size - 1u)));
      }
    }
  }
}

// Adds the products of the rows of `left` and the keys (part 0) or values (part 1) of the tile that begins at key `at`.
fn add_keyvalues(
  sums: ptr<function, array<mat4x4f, 4>>, part: u32, busy: bool, lane: u32, kv_head: u32, at: u32, start: u32, end: u32,
) {
  let size = head_size / 4u;
  for (var j = 0u; j < TILE; j += held_rows()) {
    workgroupBarrier();
    for (var i = lane; i < held_rows() * size; i += LANES) {
      let row = i / size;
      let n = key_row(min(at + j + row, end - 1u), start);
      right[row % 4u][row / 4u * size + i % size] = qkv[n * qkv_width() + keyvalue_column(part, kv_head) + i % size];
    }
    workgroupBarrier();
    if (busy) {
      add_held(sums, lane, j);
    }
  }
}
