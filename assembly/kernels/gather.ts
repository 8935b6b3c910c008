// The rows at which sequences are classified. Reference: PyTorch index_select and its backward.
import { slice_begin, slice_end } from "./threads";

/** out [sequences, cols] = inp [tokens, cols] at rows [sequences]. */
export function gather_forward(out: usize, inp: usize, rows: usize, sequences: u32, cols: u32): void {
  const bytes: usize = cols << 2;
  const end = slice_end(sequences, 1);
  for (let b = slice_begin(sequences, 1); b < end; b++)
    memory.copy(out + b * bytes, inp + load<u32>(rows + (b << 2)) * bytes, bytes);
}

/** dinp [tokens, cols] = dout at the row of sequence picked - 1, 0 where picked [tokens] is 0. */
export function gather_backward(dinp: usize, dout: usize, picked: usize, tokens: u32, cols: u32): void {
  const bytes: usize = cols << 2;
  const end = slice_end(tokens, 1);
  for (let n = slice_begin(tokens, 1); n < end; n++) {
    const b = load<u32>(picked + (n << 2));
    if (b > 0) memory.copy(dinp + n * bytes, dout + (b - 1) * bytes, bytes);
    else memory.fill(dinp + n * bytes, 0, bytes);
  }
}
