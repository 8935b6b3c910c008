// The rows at which sequences are classified, or their means. Reference: PyTorch index_select, mean, their gradients.
import { GatherBackward, GatherForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";

/** out [sequences, cols] = the mean of inp [tokens, cols] from firsts to rows [sequences]. */
export function gather_forward(p: GatherForward): void {
  const sequences = p.sequences;
  const bytes: usize = p.cols << 2;
  const end = slice_end(sequences, 1);
  for (let b = slice_begin(sequences, 1); b < end; b++) {
    const first = load<u32>(p.firsts + (b << 2));
    const last = load<u32>(p.rows + (b << 2));
    const out = p.out + b * bytes;
    const count = <f32>(last - first + 1);
    for (let c: usize = 0; c < bytes; c += 4) {
      const inp = p.inp + c;
      let sum = load<f32>(inp + first * bytes);
      for (let n = first + 1; n <= last; n++) sum += load<f32>(inp + n * bytes);
      store<f32>(out + c, sum / count);
    }
  }
}

/** dinp [tokens, cols] = dout / the rows of its mean, of sequence selected - 1; 0 where selected [tokens, 2] is 0. */
export function gather_backward(p: GatherBackward): void {
  const selected = p.selected;
  const tokens = p.tokens;
  const bytes: usize = p.cols << 2;
  const end = slice_end(tokens, 1);
  for (let n = slice_begin(tokens, 1); n < end; n++) {
    const dinp = p.dinp + n * bytes;
    const b = load<u32>(selected + (n << 3));
    const dout = p.dout + (b - 1) * bytes;
    const count = <f32>load<u32>(selected + (n << 3), 4);
    for (let c: usize = 0; c < bytes; c += 4) store<f32>(dinp + c, b > 0 ? load<f32>(dout + c) / count : 0);
  }
}
