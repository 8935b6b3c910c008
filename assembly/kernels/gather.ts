// The rows at which sequences are classified. Reference: PyTorch index_select and its backward.
import { GatherBackward, GatherForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";

/** out [sequences, cols] = inp [tokens, cols] at rows [sequences]. */
export function gather_forward(p: GatherForward): void {
  const sequences = p.sequences;
  const bytes: usize = p.cols << 2;
  const end = slice_end(sequences, 1);
  for (let b = slice_begin(sequences, 1); b < end; b++)
    memory.copy(p.out + b * bytes, p.inp + load<u32>(p.rows + (b << 2)) * bytes, bytes);
}

/** dinp [tokens, cols] = dout at the row of sequence selected - 1, 0 where selected [tokens] is 0. */
export function gather_backward(p: GatherBackward): void {
  const dinp = p.dinp;
  const dout = p.dout;
  const selected = p.selected;
  const tokens = p.tokens;
  const bytes: usize = p.cols << 2;
  const end = slice_end(tokens, 1);
  for (let n = slice_begin(tokens, 1); n < end; n++) {
    const b = load<u32>(selected + (n << 2));
    if (b > 0) memory.copy(dinp + n * bytes, dout + (b - 1) * bytes, bytes);
    else memory.fill(dinp + n * bytes, 0, bytes);
  }
}
