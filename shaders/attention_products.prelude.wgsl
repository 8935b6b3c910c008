// What the attention kernels whose lanes have queries share: tiles of rows times tiles of keys or values.

// The products of the lane's four rows of queries (part 0) or dout (part 1) and of four keys or values of the tile that
// begins at key `at`.
fn products(
  part: u32, busy: bool, lane: u32, head: u32, kv_head: u32, top: u32, first: u32, next: u32, start: u32, at: u32, end: u32,
) -> mat4x4f {
  let size = head_size / 4u;
  let keys = keyvalue_column(part, kv_head);
  var s = mat4x4f();
  for (var c = 0u; c < size; c += DEPTH) {
    workgroupBarrier();
    for (var i = lane; i < TILE * DEPTH; i += LANES) {
      let row = i / DEPTH;
      let column = i % DEPTH;
      let source = min(c + column, size - 1u);
      let n = clamp(top + row, first, next - 1u);
      left[row % 4u][place(row, column)] = query_row(part, n, head * size + source);
      let key = key_row(min(at + row, end - 1u), start);
      right[row % 4u][place(row, column)] = qkv[key * qkv_width() + keys + source];
    }
    workgroupBarrier();
    if (busy) {
      for (var d = 0u; d < min(DEPTH, size - c); d++) {
        s = add(s, place(lane / 8u * 4u, d), transpose(right_rows(place(lane % 8u * 4u, d))));
      }
    }
  }
  return s;
}
