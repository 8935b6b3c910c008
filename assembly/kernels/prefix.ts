// The keys and values of prefix tuning. References: Li and Liang 2021; PEFT's PrefixEncoder.
import { PrefixCache, PrefixCopy } from "./generated/records";
import { add_rows } from "./rows";
import { slice_begin, slice_end } from "./threads";

/** Copies a block's keys and values into rows of qkv, or adds their gradients to others: see the shader. */
export function prefix_copy(p: PrefixCopy): void {
  const cols = p.cols;
  const end = slice_end(p.count, 1);
  for (let j = slice_begin(p.count, 1); j < end; j++) {
    const to = p.out + ((p.out_at + j * p.out_row) << 2);
    const from = p.inp + ((p.inp_at + j * p.inp_row) << 2);
    if (p.beta) add_rows(to, to, from, cols);
    else memory.copy(to, from, cols << 2);
  }
}

/** Copies a block's columns of prefix [count, width] to positions 0 .. of every slot of cache [slots, 2, KV, positions, head_size]. */
export function prefix_cache(p: PrefixCache): void {
  const count = p.count;
  const rows: u32 = 2 * p.kv_heads;
  const bytes: usize = p.head_size << 2;
  const end = slice_end(p.slots * count, 1);
  for (let n = slice_begin(p.slots * count, 1); n < end; n++) {
    const j = n % count;
    let from = p.prefix + ((j * p.width + p.column) << 2);
    let to = p.cache + ((n / count) * rows * p.positions + j) * bytes;
    for (let row: u32 = 0; row < rows; row++) {
      memory.copy(to, from, bytes);
      from += bytes;
      to += p.positions * bytes;
    }
  }
}
