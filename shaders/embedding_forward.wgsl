// Token and position embedding, for the tokens whose id lies in one piece of the table.
//
//   out[n, c] = wte[ids[n] - first, c] + wpe[n - spans[n].start, c]   where first <= ids[n] < first + count
//
//   out    (updates)  [tokens, cols]; rows of other pieces stay as they are
//   wte    (read)     [count, cols], rows first .. first + count of the token table
//   wpe    (read)     [positions, cols]
//   ids    (read)     [tokens]
//   spans  (read)     [tokens, 2]: where the token's sequence starts and ends in the packed batch
//
// Grid: (ceil(cols / 64), tokens). Reference: llm.c encoder_forward.

struct Dims { tokens: u32, cols: u32, first: u32, count: u32 }

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> wte: array<f32>;
@group(0) @binding(2) var<storage, read> wpe: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> spans: array<vec2u>;
@group(0) @binding(5) var<uniform> dims: Dims;

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
  out[n * dims.cols + col] = wte[(id - dims.first) * dims.cols + col] + wpe[position * dims.cols + col];
}
