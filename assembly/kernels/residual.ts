// Residual connection. Its backward pass is the identity and needs no kernel. Reference: llm.c residual_forward.
import { ResidualForward } from "./generated/records";
import { add_rows } from "./rows";
import { slice_begin, slice_end } from "./threads";

const LINE: u32 = 16;

/** out [rows, cols] = inp1 + inp2. */
export function residual_forward(p: ResidualForward): void {
  const rows = p.rows;
  const cols = p.cols;
  const begin = slice_begin(rows * cols, LINE);
  const at: usize = begin << 2;
  add_rows(p.out + at, p.inp1 + at, p.inp2 + at, slice_end(rows * cols, LINE) - begin);
}
