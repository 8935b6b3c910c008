// Token and position embedding; the token table may come in pieces of rows. Reference: llm.c encoder_forward,
// encoder_backward.

import { is_in_blocks, use_blocks, widen_run } from "./blocks";
import { TYPE_F16 } from "./generated/numbers";
import { EmbeddingBackward, EmbeddingForward, EmbeddingPositionBackward } from "./generated/records";
import { load_half } from "./half";
import { load_halves } from "./lanes";
import { add_rows } from "./rows";
import { slice_begin, slice_end } from "./threads";

/**
 * out [tokens, cols] = wte[ids - first] + wpe[n - start + shift], for ids in the piece first .. first + count. wte is
 * of any type, wpe f32 or f16.
 */
export function embedding_forward(p: EmbeddingForward): void {
  const out = p.out;
  const wte = p.wte;
  const wpe = p.wpe;
  const ids = p.ids;
  const bounds = p.bounds;
  const tokens = p.tokens;
  const cols = p.cols;
  const first = p.first;
  const count = p.count;
  const shift = p.shift;
  const is_wide = is_in_blocks(p.wte_type);
  const wte_half = p.wte_type == TYPE_F16;
  const wpe_half = p.wpe_type == TYPE_F16;
  if (is_wide) use_blocks(wte, p.wte_type, count * cols, cols);
  const wte_shift: usize = wte_half ? 1 : 2;
  const wpe_shift: usize = wpe_half ? 1 : 2;
  const end = slice_end(tokens, 1);
  for (let n = slice_begin(tokens, 1); n < end; n++) {
    const id = load<u32>(ids + (n << 2));
    if (id < first || id - first >= count) continue;
    const position = n - load<u32>(bounds + (n << 3)) + shift;
    const to = out + ((n * cols) << 2);
    let token = wte + (((id - first) * cols) << wte_shift);
    if (is_wide) {
      // In place: each element is read before it is written.
      widen_run(to, (id - first) * cols, cols);
      token = to;
    }
    const place = wpe + ((position * cols) << wpe_shift);
    if (!wpe) {
      copy_row(to, token, cols, wte_half);
      continue;
    }
    let c: u32 = 0;
    for (; c + 4 <= cols; c += 4) {
      const x = wte_half ? load_halves(token + (c << 1)) : v128.load(token + (c << 2));
      const y = wpe_half ? load_halves(place + (c << 1)) : v128.load(place + (c << 2));
      v128.store(to + (c << 2), f32x4.add(x, y));
    }
    for (; c < cols; c++) {
      const x = wte_half ? load_half(token + (c << 1)) : load<f32>(token + (c << 2));
      const y = wpe_half ? load_half(place + (c << 1)) : load<f32>(place + (c << 2));
      store<f32>(to + (c << 2), x + y);
    }
  }
}

/** A row of the token table in f32 or f16; of one in blocks it is there already. */
function copy_row(to: usize, token: usize, cols: u32, is_half: bool): void {
  if (!is_half) {
    if (to != token) memory.copy(to, token, cols << 2);
    return;
  }
  for (let c: u32 = 0; c < cols; c++) store<f32>(to + (c << 2), load_half(token + (c << 1)));
}

/**
 * dwte [count, cols] += rows of dout [tokens, cols] by id. `sorted` orders tokens by id, groups [unique + 1] is where
 * each id's run starts, so that every row has one writer and a fixed order of summation.
 */
export function embedding_backward(p: EmbeddingBackward): void {
  const dwte = p.dwte;
  const dout = p.dout;
  const ids = p.ids;
  const sorted = p.sorted;
  const groups = p.groups;
  const unique = p.unique;
  const cols = p.cols;
  const first = p.first;
  const count = p.count;
  const bytes: usize = cols << 2;
  const end = slice_end(unique, 1);
  for (let group = slice_begin(unique, 1); group < end; group++) {
    const last = load<u32>(groups + (group << 2), 4);
    let i = load<u32>(groups + (group << 2));
    const id = load<u32>(ids + (load<u32>(sorted + (i << 2)) << 2));
    if (id < first || id - first >= count) continue;
    const row = dwte + (id - first) * bytes;
    for (; i < last; i++) add_rows(row, row, dout + load<u32>(sorted + (i << 2)) * bytes, cols);
  }
}

/** dwpe [positions, cols] += rows of dout [tokens, cols] by position, sequences in order. */
export function embedding_position_backward(p: EmbeddingPositionBackward): void {
  const dwpe = p.dwpe;
  const dout = p.dout;
  const starts = p.starts;
  const longest = p.longest;
  const cols = p.cols;
  const sequences = p.sequences;
  const bytes: usize = cols << 2;
  const end = slice_end(longest, 1);
  for (let position = slice_begin(longest, 1); position < end; position++) {
    const row = dwpe + position * bytes;
    for (let b: u32 = 0; b < sequences; b++) {
      const n = load<u32>(starts + (b << 2)) + position;
      if (n < load<u32>(starts + (b << 2), 4)) add_rows(row, row, dout + n * bytes, cols);
    }
  }
}
