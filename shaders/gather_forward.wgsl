// Picks the rows at which a sequence is classified.
//
//   out[b, c] = inp[rows[b], c]
//
//   out   (write)  [sequences, cols]
//   inp   (read)   [tokens, cols]
//   rows  (read)   [sequences]
//
// Grid: (ceil(cols / 64), sequences). Reference: PyTorch index_select.

struct Dims { sequences: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> inp: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= dims.cols || at.y >= dims.sequences) {
    return;
  }
  out[at.y * dims.cols + at.x] = inp[rows[at.y] * dims.cols + at.x];
}
