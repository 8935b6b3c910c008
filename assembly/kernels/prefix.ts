// The keys and values of prefix tuning. References: Li and Liang 2021; PEFT's PrefixEncoder.
import { PrefixBackward, PrefixCache, PrefixForward } from "./generated/records";
import { add_rows } from "./rows";
import { slice_begin, slice_end } from "./threads";

/** Copies a block's columns of prefix [count, width] to the keys and values of rows row .. of qkv [room, qkv_width]. */
export function prefix_forward(p: PrefixForward): void {
  const cols = p.cols;
  const end = slice_end(p.count, 1);
  for (let j = slice_begin(p.count, 1); j < end; j++) {
    const to = p.qkv + (((p.row + j + 1) * p.qkv_width - 2 * cols) << 2);
    memory.copy(to, p.prefix + ((j * p.width + p.column) << 2), cols << 3);
  }
}

/** The same columns of dprefix = beta * dprefix + the gradients of these keys and values. */
export function prefix_backward(p: PrefixBackward): void {
  const cols = p.cols;
  const end = slice_end(p.count, 1);
  for (let j = slice_begin(p.count, 1); j < end; j++) {
    const from = p.dqkv + (((p.row + j + 1) * p.qkv_width - 2 * cols) << 2);
    const to = p.dprefix + ((j * p.width + p.column) << 2);
    if (p.beta) add_rows(to, to, from, 2 * cols);
    else memory.copy(to, from, cols << 3);
  }
}

/** Copies the same columns to positions 0 .. of every slot of cache [slots, 2, KV, positions, head_size]. */
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
