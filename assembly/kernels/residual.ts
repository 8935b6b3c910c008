// Residual connection. Its backward pass is the identity and needs no kernel. Reference: llm.c residual_forward.
import { add_rows } from "./rows";
import { slice_begin, slice_end } from "./threads";

const LINE: u32 = 16;

/** out [rows, cols] = inp1 + inp2. */
export function residual_forward(out: usize, inp1: usize, inp2: usize, rows: u32, cols: u32): void {
  const begin = slice_begin(rows * cols, LINE);
  const at: usize = begin << 2;
  add_rows(out + at, inp1 + at, inp2 + at, slice_end(rows * cols, LINE) - begin);
}
