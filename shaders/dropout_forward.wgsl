// Dropout of an adapter's input: out = inp / (1 - p) where the mask keeps an element, 0 elsewhere.
//
//   out    (write)  [rows, cols]
//   inp    (read)   [rows, cols]
//   draws  (read)   [rows, 2]: the number of the row's sequence, or 0 where nothing is dropped, and the position in it
//
// Grid: flat over rows * cols / 4. Reference: PyTorch dropout.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  let four = dims.cols / 4u;
  if (i >= dims.rows * four) {
    return;
  }
  out[i] = dropped(inp[i], i / four, i % four);
}
