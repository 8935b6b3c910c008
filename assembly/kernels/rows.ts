// Sums and copies of rows of f32.

/** out [cols] = x + y. */
export function add_rows(out: usize, x: usize, y: usize, cols: u32): void {
  let c: u32 = 0;
  for (; c + 4 <= cols; c += 4) v128.store(out + (c << 2), f32x4.add(v128.load(x + (c << 2)), v128.load(y + (c << 2))));
  for (; c < cols; c++) store<f32>(out + (c << 2), load<f32>(x + (c << 2)) + load<f32>(y + (c << 2)));
}
