// Attention, causal or not, within the sequences of a packed batch. A thread processes consecutive pairs of head and token; for
// the gradients of keys and values, of key-value head and token. The keys and values of a head's sequence are first
// copied to contiguous memory, so that they stay in cache for all its tokens; a prefix's are read where they lie.
// References: llm.c attention_forward; Dao et al. 2022 (FlashAttention), algorithm 4, for the backward pass.

import {
  AttentionCached,
  AttentionForward,
  AttentionKeyvalueBackward,
  AttentionQueryBackward,
} from "./generated/records";
import { SCRATCH_BYTES, scratch_memory, slice_begin, slice_end } from "./threads";
import { dot, exp, madd, max_lanes, sum_four, sum_lanes } from "./vector";

/** Bytes of scratch memory for each of a token's two lists of scores: enough for sequences of up to 65532 tokens. */
const SCORES_BYTES: u32 = 1 << 18;
const ROWS_BYTES: u32 = SCRATCH_BYTES - 2 * SCORES_BYTES;
const LOWEST: f32 = -3.0e38;

/** The two sets of rows that a token meets (keys and values, or queries and dout), and their strides in bytes. */
let rows1: usize = 0;
let rows2: usize = 0;
let stride1: usize = 0;
let stride2: usize = 0;

/** Sets the rows [count, size], copied to contiguous scratch memory if they fit. */
function use_rows(from1: usize, from_stride1: usize, from2: usize, from_stride2: usize, count: u32, size: u32): void {
  const bytes: usize = size << 2;
  rows1 = from1;
  rows2 = from2;
  stride1 = from_stride1;
  stride2 = from_stride2;
  if (2 * <u64>count * bytes > ROWS_BYTES) return;
  rows1 = scratch_memory() + 2 * SCORES_BYTES;
  rows2 = rows1 + count * bytes;
  stride1 = bytes;
  stride2 = bytes;
  for (let i: u32 = 0; i < count; i++) {
    memory.copy(rows1 + i * bytes, from1 + i * from_stride1, bytes);
    memory.copy(rows2 + i * bytes, from2 + i * from_stride2, bytes);
  }
}

/**
 * to[i] = scale * x . rows[i] for i < count, rows of [size], four at a time. Up to three more elements are written,
 * copies of the last score.
 */
function scores(to: usize, x: usize, rows: usize, stride: usize, count: u32, size: u32, scale: f32): void {
  const factor = f32x4.splat(scale);
  for (let i: u32 = 0; i < count; i += 4) {
    const last = count - 1;
    let at0 = rows + i * stride;
    let at1 = rows + min<u32>(i + 1, last) * stride;
    let at2 = rows + min<u32>(i + 2, last) * stride;
    let at3 = rows + min<u32>(i + 3, last) * stride;
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    for (let at = x; at < x + (size << 2); at += 16) {
      const v = v128.load(at);
      s0 = madd(v, v128.load(at0), s0);
      s1 = madd(v, v128.load(at1), s1);
      s2 = madd(v, v128.load(at2), s2);
      s3 = madd(v, v128.load(at3), s3);
      at0 += 16;
      at1 += 16;
      at2 += 16;
      at3 += 16;
    }
    v128.store(to + (i << 2), f32x4.mul(sum_four(s0, s1, s2, s3), factor));
  }
}

/** to [size] = the sum of weights[i] * rows[i] for i < count, divided by `divisor`; `adds`: it is added to `to`. */
function weighted_sum(
  to: usize,
  weights: usize,
  rows: usize,
  stride: usize,
  count: u32,
  size: u32,
  divisor: f32,
  adds: bool,
): void {
  const by = f32x4.splat(divisor);
  let c: u32 = 0;
  for (; c + 16 <= size; c += 16) {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let at = rows + (c << 2);
    for (let w = weights; w < weights + (count << 2); w += 4) {
      const p = v128.load_splat<f32>(w);
      s0 = madd(p, v128.load(at), s0);
      s1 = madd(p, v128.load(at, 16), s1);
      s2 = madd(p, v128.load(at, 32), s2);
      s3 = madd(p, v128.load(at, 48), s3);
      at += stride;
    }
    store_or_add(to + (c << 2), f32x4.div(s0, by), adds);
    store_or_add(to + (c << 2) + 16, f32x4.div(s1, by), adds);
    store_or_add(to + (c << 2) + 32, f32x4.div(s2, by), adds);
    store_or_add(to + (c << 2) + 48, f32x4.div(s3, by), adds);
  }
  for (; c < size; c += 4) {
    let sum = f32x4.splat(0);
    let at = rows + (c << 2);
    for (let w = weights; w < weights + (count << 2); w += 4) {
      sum = madd(v128.load_splat<f32>(w), v128.load(at), sum);
      at += stride;
    }
    store_or_add(to + (c << 2), f32x4.div(sum, by), adds);
  }
}

/** to [4] = x, or to + x. */
function store_or_add(to: usize, x: v128, adds: bool): void {
  v128.store(to, adds ? f32x4.add(v128.load(to), x) : x);
}

/**
 * out [tokens, NH HS], lse [tokens, NH] = log of the sum of exponentials, from qkv [room, (NH + 2 KV) HS]: the queries
 * of NH heads, then the keys and the values of KV heads, each for NH / KV consecutive heads of queries. HS is a
 * multiple of 4. A token attends to the keys of the prefix, whose rows follow the tokens' rows, and to those of its own
 * sequence, if it is causal up to itself.
 */
export function attention_forward(p: AttentionForward): void {
  const out = p.out;
  const lse = p.lse;
  const qkv = p.qkv;
  const bounds = p.bounds;
  const tokens = p.tokens;
  const heads = p.heads;
  const head_size = p.head_size;
  const prefix = p.prefix;
  const shared_by = heads / p.kv_heads;
  const width: usize = (heads * head_size) << 2;
  const kv_width: usize = (p.kv_heads * head_size) << 2;
  const stride = width + 2 * kv_width;
  const prefix_keys = qkv + p.prefix_row * stride + width;
  const scale = p.scale;
  const causal = p.causal != 0;
  const list = scratch_memory();
  const own = list + (prefix << 2);
  const end = slice_end(heads * tokens, 1);
  let ready: u32 = 0;
  let kv_column: usize = 0;
  for (let pair = slice_begin(heads * tokens, 1); pair < end; pair++) {
    const head = pair / tokens;
    const n = pair % tokens;
    const column: usize = (head * head_size) << 2;
    const start = load<u32>(bounds + (n << 3));
    const last = load<u32>(bounds + (n << 3), 4);
    const q = qkv + n * stride + column;
    if (pair >= ready) {
      // The rest of the sequence or of the slice, whichever ends first.
      const stop = min<u32>(last, n + (end - pair));
      kv_column = ((head / shared_by) * head_size) << 2;
      const k = qkv + start * stride + width + kv_column;
      use_rows(k, stride, k + kv_width, stride, (causal ? stop : last) - start, head_size);
      ready = pair + (stop - n);
    }
    const count = (causal ? n + 1 : last) - start;
    const to = out + n * width + column;
    const k = prefix_keys + kv_column;
    if (prefix) scores(list, q, k, stride, prefix, head_size, scale);
    scores(own, q, rows1, stride1, count, head_size, scale);
    const largest = softmax(list, prefix + count);
    const total = sum_list(list, prefix + count);
    weighted_sum(to, own, rows2, stride2, count, head_size, total, false);
    if (prefix) weighted_sum(to, list, k + kv_width, stride, prefix, head_size, total, true);
    store<f32>(lse + ((n * heads + head) << 2), largest + Mathf.log(total));
  }
}

/**
 * out [tokens, NH HS] from the queries in qkv [tokens, (NH + 2 KV) HS] and cache [slots, 2, KV, positions, HS]: each
 * token attends to its slot up to its position, by slots [tokens, 2]. A head's rows are contiguous in the cache, so
 * that nothing is copied.
 */
export function attention_cached(p: AttentionCached): void {
  const out = p.out;
  const qkv = p.qkv;
  const cache = p.cache;
  const slots = p.slots;
  const tokens = p.tokens;
  const heads = p.heads;
  const kv_heads = p.kv_heads;
  const shared_by = heads / kv_heads;
  const head_size = p.head_size;
  const positions = p.positions;
  const bytes: usize = head_size << 2;
  const width: usize = heads * bytes;
  const stride = width + 2 * kv_heads * bytes;
  const scale = p.scale;
  const list = scratch_memory();
  const end = slice_end(heads * tokens, 1);
  for (let pair = slice_begin(heads * tokens, 1); pair < end; pair++) {
    const n = pair / heads;
    const head = pair % heads;
    const count = load<u32>(slots + (n << 3), 4) + 1;
    const k = cache + (load<u32>(slots + (n << 3)) * 2 * kv_heads + head / shared_by) * positions * bytes;
    const v = k + kv_heads * positions * bytes;
    scores(list, qkv + n * stride + head * bytes, k, bytes, count, head_size, scale);
    softmax(list, count);
    const total = sum_list(list, count);
    weighted_sum(out + n * width + head * bytes, list, v, bytes, count, head_size, total, false);
  }
}

/** list[i] = exp(list[i] - largest) for i < count, padded with 0 to a multiple of four; returns the largest. */
function softmax(list: usize, count: u32): f32 {
  const last = list + (count << 2);
  for (let i: u32 = count; (i & 3) != 0; i++) store<f32>(list + (i << 2), LOWEST);
  let most = f32x4.splat(LOWEST);
  for (let at = list; at < last; at += 16) most = f32x4.max(most, v128.load(at));
  const largest = max_lanes(most);
  const top = f32x4.splat(largest);
  for (let at = list; at < last; at += 16) v128.store(at, exp(f32x4.sub(v128.load(at), top)));
  for (let i: u32 = count; (i & 3) != 0; i++) store<f32>(list + (i << 2), 0);
  return largest;
}

/** Sum of a list of `count` numbers, padded with 0 to a multiple of four. */
function sum_list(list: usize, count: u32): f32 {
  let sums = f32x4.splat(0);
  for (let at = list; at < list + (count << 2); at += 16) sums = f32x4.add(sums, v128.load(at));
  return sum_lanes(sums);
}

/**
 * The queries of the tokens' rows of dqkv [room, (NH + 2 KV) HS], and delta [tokens, NH] = dout . out per head:
 * dq[n] = scale * sum_j ds_j k[j], ds_j = exp(s_j - lse[n]) * (dout[n] . v[j] - delta[n]).
 */
export function attention_query_backward(p: AttentionQueryBackward): void {
  const dqkv = p.dqkv;
  const delta = p.delta;
  const dout = p.dout;
  const out = p.out;
  const lse = p.lse;
  const qkv = p.qkv;
  const bounds = p.bounds;
  const tokens = p.tokens;
  const heads = p.heads;
  const head_size = p.head_size;
  const shared_by = heads / p.kv_heads;
  const width: usize = (heads * head_size) << 2;
  const kv_width: usize = (p.kv_heads * head_size) << 2;
  const stride = width + 2 * kv_width;
  const prefix = p.prefix;
  const prefix_keys = qkv + p.prefix_row * stride + width;
  const scale = p.scale;
  const causal = p.causal != 0;
  const list = scratch_memory();
  const slopes = list + SCORES_BYTES;
  const own = list + (prefix << 2);
  const end = slice_end(heads * tokens, 1);
  let ready: u32 = 0;
  let kv_column: usize = 0;
  for (let pair = slice_begin(heads * tokens, 1); pair < end; pair++) {
    const head = pair / tokens;
    const n = pair % tokens;
    const column: usize = (head * head_size) << 2;
    const start = load<u32>(bounds + (n << 3));
    const last = load<u32>(bounds + (n << 3), 4);
    const q = qkv + n * stride + column;
    if (pair >= ready) {
      const stop = min<u32>(last, n + (end - pair));
      kv_column = ((head / shared_by) * head_size) << 2;
      const k = qkv + start * stride + width + kv_column;
      use_rows(k, stride, k + kv_width, stride, (causal ? stop : last) - start, head_size);
      ready = pair + (stop - n);
    }
    const count = (causal ? n + 1 : last) - start;
    const g = dout + n * width + column;
    const d = dot(g, out + n * width + column, head_size);
    store<f32>(delta + ((n * heads + head) << 2), d);
    const to = dqkv + n * stride + column;
    const k = prefix_keys + kv_column;
    if (prefix) {
      scores(list, q, k, stride, prefix, head_size, scale);
      scores(slopes, g, k + kv_width, stride, prefix, head_size, 1);
    }
    scores(own, q, rows1, stride1, count, head_size, scale);
    scores(own + SCORES_BYTES, g, rows2, stride2, count, head_size, 1);
    const log_sum = v128.load_splat<f32>(lse + ((n * heads + head) << 2));
    for (let at = list; at < own + (count << 2); at += 16) {
      const p = exp(f32x4.sub(v128.load(at), log_sum));
      const slope = f32x4.sub(v128.load(at + SCORES_BYTES), f32x4.splat(d));
      v128.store(at, f32x4.mul(f32x4.mul(p, slope), f32x4.splat(scale)));
    }
    weighted_sum(to, own, rows1, stride1, count, head_size, 1, false);
    if (prefix) weighted_sum(to, list, k, stride, prefix, head_size, 1, true);
  }
}

/**
 * The keys and values of dqkv [room, (NH + 2 KV) HS]: dk[j] = scale * sum_i ds_i q[i], dv[j] = sum_i p_i dout[i] over
 * the heads that they serve and the queries of the sequence, if it is causal from j on, for the prefix's rows j over all,
 * p_i = exp(s_i - lse[i]), ds_i = p_i * (dout[i] . v[j] - delta[i]).
 */
export function attention_keyvalue_backward(p: AttentionKeyvalueBackward): void {
  const bounds = p.bounds;
  const tokens = p.tokens;
  const kv_heads = p.kv_heads;
  const prefix = p.prefix;
  let count: u32 = 0;
  let end = slice_end(kv_heads * tokens, 1);
  for (let pair = slice_begin(kv_heads * tokens, 1); pair < end; pair += count) {
    const j = pair % tokens;
    const stop = load<u32>(bounds + (j << 3), 4);
    // The rest of the sequence or of the slice, whichever ends first.
    count = min<u32>(stop - j, end - pair);
    const first = p.causal ? j : load<u32>(bounds + (j << 3));
    group_gradients(p, pair / tokens, j, count, first, p.causal, stop);
  }
  // All keys of the prefix take the same time: they are divided among the threads on their own.
  end = slice_end(kv_heads * prefix, 1);
  for (let pair = slice_begin(kv_heads * prefix, 1); pair < end; pair += count) {
    const j = pair % prefix;
    count = min<u32>(prefix - j, end - pair);
    group_gradients(p, pair / prefix, p.prefix_row + j, count, 0, 0, tokens);
  }
}

/**
 * The gradients of a key-value head's keys and values in the rows j to j + count - 1, summed over its heads one by one.
 * Row j + i meets the queries n + i * step to stop - 1.
 */
function group_gradients(
  p: AttentionKeyvalueBackward,
  kv_head: u32,
  j: u32,
  count: u32,
  n: u32,
  step: u32,
  stop: u32,
): void {
  const heads = p.heads;
  const head_size = p.head_size;
  const shared_by = heads / p.kv_heads;
  const width: usize = (heads * head_size) << 2;
  const stride = width + <usize>((2 * p.kv_heads * head_size) << 2);
  const keys = j * stride + width + <usize>((kv_head * head_size) << 2);
  const first = kv_head * shared_by;
  for (let head = first; head < first + shared_by; head++) {
    const column: usize = (head * head_size) << 2;
    use_rows(p.qkv + n * stride + column, stride, p.dout + n * width + column, width, stop - n, head_size);
    for (let i: u32 = 0; i < count; i++) {
      const skipped = i * step;
      const queries = rows1 + skipped * stride1;
      key_gradients(p, head, keys + i * stride, queries, rows2 + skipped * stride2, n + skipped, stop, head != first);
    }
  }
}

/**
 * The gradients of the key at `at` in qkv and of its value, from a head's queries n to stop - 1 and their gradients;
 * `adds`: they are added to those from other heads.
 */
function key_gradients(
  p: AttentionKeyvalueBackward,
  head: u32,
  at: usize,
  queries: usize,
  gradients: usize,
  n: u32,
  stop: u32,
  adds: bool,
): void {
  const lse = p.lse;
  const delta = p.delta;
  const heads = p.heads;
  const head_size = p.head_size;
  const kv_width: usize = (p.kv_heads * head_size) << 2;
  const scale = p.scale;
  const list = scratch_memory();
  const slopes = list + SCORES_BYTES;
  const count = stop - n;
  const k = p.qkv + at;
  scores(list, k, queries, stride1, count, head_size, scale);
  scores(slopes, k + kv_width, gradients, stride2, count, head_size, 1);
  for (let i: u32 = 0; i < count; i += 4) {
    const log_sum = every_head(lse, n + i, stop - 1, head, heads);
    const p = exp(f32x4.sub(v128.load(list + (i << 2)), log_sum));
    const slope = f32x4.sub(v128.load(slopes + (i << 2)), every_head(delta, n + i, stop - 1, head, heads));
    v128.store(list + (i << 2), p);
    v128.store(slopes + (i << 2), f32x4.mul(f32x4.mul(p, slope), f32x4.splat(scale)));
  }
  const to = p.dqkv + at;
  weighted_sum(to, slopes, queries, stride1, count, head_size, 1, adds);
  weighted_sum(to + kv_width, list, gradients, stride2, count, head_size, 1, adds);
}

/** Values of one head for the tokens n to n + 3, from [tokens, heads]; tokens after `last` repeat its value. */
function every_head(from: usize, n: u32, last: u32, head: u32, heads: u32): v128 {
  const stride = heads << 2;
  const at = from + (head << 2);
  let v = v128.load_splat<f32>(at + n * stride);
  v = v128.load_lane<f32>(at + min<u32>(n + 1, last) * stride, v, 1);
  v = v128.load_lane<f32>(at + min<u32>(n + 2, last) * stride, v, 2);
  return v128.load_lane<f32>(at + min<u32>(n + 3, last) * stride, v, 3);
}
