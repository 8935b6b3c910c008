// The rows at which sequences are classified, or their means. Reference: PyTorch index_select, mean, and their backward.
import { GatherBackward, GatherForward } from "./generated/records";
import { slice_begin, slice_end } from "./threads";
import { load_some, store_some } from "./vector";

/** out [sequences, cols] = the mean of inp [tokens, cols] from firsts to rows [sequences]. */
export function gather_forward(p: GatherForward): void {
  const sequences = p.sequences;
  const cols = p.cols;
  const bytes: usize = cols << 2;
  const end = slice_end(sequences, 1);
  for (let b = slice_begin(sequences, 1); b < end; b++) {
    const first = load<u32>(p.firsts + (b << 2));
    const last = load<u32>(p.rows + (b << 2));
    const out = p.out + b * bytes;
    if (first == last) {
      memory.copy(out, p.inp + last * bytes, bytes);
      continue;
    }
    const count = f32x4.splat(<f32>(last - first + 1));
    for (let c: u32 = 0; c < cols; c += 4) {
      const lanes = min<u32>(cols - c, 4);
      let at = p.inp + first * bytes + (c << 2);
      let sum = load_some(at, lanes);
      for (let n = first; n < last; n++) {
        at += bytes;
        sum = f32x4.add(sum, load_some(at, lanes));
      }
      store_some(out + (c << 2), f32x4.div(sum, count), lanes);
    }
  }
}

/** dinp [tokens, cols] = dout / the rows of its mean, of sequence selected - 1; 0 where selected [tokens] is 0. */
export function gather_backward(p: GatherBackward): void {
  const selected = p.selected;
  const tokens = p.tokens;
  const cols = p.cols;
  const bytes: usize = cols << 2;
  const end = slice_end(tokens, 1);
  for (let n = slice_begin(tokens, 1); n < end; n++) {
    const dinp = p.dinp + n * bytes;
    const b = load<u32>(selected + (n << 2));
    if (b == 0) {
      memory.fill(dinp, 0, bytes);
      continue;
    }
    const dout = p.dout + (b - 1) * bytes;
    const at: usize = (b - 1) << 2;
    const count = f32x4.splat(<f32>(load<u32>(p.rows + at) - load<u32>(p.firsts + at) + 1));
    for (let c: u32 = 0; c < cols; c += 4) {
      const lanes = min<u32>(cols - c, 4);
      store_some(dinp + (c << 2), f32x4.div(load_some(dout + (c << 2), lanes), count), lanes);
    }
  }
}
