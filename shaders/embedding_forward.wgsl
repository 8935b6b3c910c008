// Token and position embedding, for the tokens whose id lies in one piece of the table.
//
//   out[n, c] = wte[ids[n] - first, c] + wpe[n - spans[n].start, c]   where first <= ids[n] < first + count
//
//   out    (updates)  [tokens, cols]; rows of other pieces stay as they are
//   wte    (read)     [count, cols], rows first .. first + count of the token table; two halves a word where wte_half != 0
//   wpe    (read)     [positions, cols]; two halves a word where wpe_half != 0
//   ids    (read)     [tokens]
//   spans  (read)     [tokens, 2]: where the token's sequence starts and ends in the packed batch
//
// Grid: (ceil(cols / 64), tokens). Reference: llm.c encoder_forward.

struct Dims { tokens: u32, cols: u32, first: u32, count: u32 }

override wte_half: u32;
override wpe_half: u32;

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> wte: array<u32>;
@group(0) @binding(2) var<storage, read> wpe: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> spans: array<vec2u>;
@group(0) @binding(5) var<uniform> dims: Dims;

fn token(at: u32) -> f32 {
  if (wte_half != 0u) {
    return unpack2x16float(wte[at >> 1u])[at & 1u];
  }
  return bitcast<f32>(wte[at]);
}

fn place(at: u32) -> f32 {
  if (wpe_half != 0u) {
    return unpack2x16float(wpe[at >> 1u])[at & 1u];
  }
  return bitcast<f32>(wpe[at]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  let col = at.x;
  let n = at.y;
  if (col >= dims.cols || n >= dims.tokens) {
    return;
  }
  let id = ids[n];
  if (id < dims.first || id - dims.first >= dims.count) {
    return;
  }
  let position = n - spans[n].x;
  out[n * dims.cols + col] = token((id - dims.first) * dims.cols + col) + place(position * dims.cols + col);
}
