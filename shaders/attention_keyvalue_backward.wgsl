// Gradient of attention with respect to the keys and the values.
//
//   p_ih = exp(s_ijh - lse[i, h]);  ds_ih = p_ih * (dout[i, h] . v[j, g] - D[i, h])  for start(j) <= i < end(j), if
//     causal j <= i, of the prefix's rows j for all i, and for the heads h that g serves
//   dk[j, g] = scale * sum_h sum_i ds_ih q[i, h];  dv[j, g] = sum_h sum_i p_ih dout[i, h]
//
//   dqkv   (updates)  [room, width]: columns of keys and values, in the rows of the tokens and of the prefix
//   delta  (read)     [tokens, heads]: D, the row sums made by attention_query_backward
//   dout   (read)     [tokens, C]
//   lse    (read)     [tokens, heads]
//   qkv    (read)     [room, width]
//   bounds  (read)     [tokens, 2]: where the token's sequence starts and ends
//
// Grid: (ceil(prefix / 32) + ceil(tokens / 32), KV), one workgroup for 32 keys of a key-value head; the prefix's, which
// take longest, come first. It takes the sequences in its rows one by one, and head by head their queries in tiles of
// 32, if causal from the first key on; p and ds are 0 for the queries before a key, so that its sums do not depend on where a tile
// begins. For the prefix's keys the whole batch is one sequence behind them. Lanes are those of attention_forward, with
// keys and queries exchanged.
// Reference: Dao et al. 2022 (FlashAttention), algorithm 4.
//
// `left` and `right` hold keys and queries, values and dout, then p and dout, ds and queries.

// Part 0: q . k for the lane's four keys and four queries; part 1: dout . v.
fn products(
  part: u32, busy: bool, lane: u32, head: u32, kv_head: u32, top: u32, first: u32, next: u32, at: u32, end: u32,
) -> mat4x4f {
  let size = head_size / 4u;
  let keys = keyvalue_column(part, kv_head);
  var s = mat4x4f();
  for (var c = 0u; c < size; c += DEPTH) {
    workgroupBarrier();
    for (var i = lane; i < TILE * DEPTH; i += LANES) {
      let row = i / DEPTH;
      let column = i % DEPTH;
      let source = min(c + column, size - 1u);
      let key = clamp(top + row, first, next - 1u);
      left[row % 4u][place(row, column)] = qkv[key * qkv_width() + keys + source];
      right[row % 4u][place(row, column)] = query_row(part, min(at + row, end - 1u), head * size + source);
    }
    workgroupBarrier();
    if (busy) {
      for (var d = 0u; d < min(DEPTH, size - c); d++) {
        s = add(s, place(lane / 8u * 4u, d), transpose(right_rows(place(lane % 8u * 4u, d))));
      }
    }
  }
  return s;
}

// sums += by times rows at .. at + 31: of the queries (part 0) or of dout (part 1).
fn accumulate(
  sums: ptr<function, array<mat4x4f, 4>>, part: u32, busy: bool, by: mat4x4f, lane: u32, head: u32, at: u32, end: u32,
) {
  let size = head_size / 4u;
  let down = lane / 8u;
  let along = lane % 8u;
  workgroupBarrier();
  @unroll for (var i = 0u; i < 4u; i++) {
    left[i][place(4u * down, along)] = by[i];
  }
  for (var j = 0u; j < TILE; j += held_rows()) {
    workgroupBarrier();
    for (var i = lane; i < held_rows() * size; i += LANES) {
      let row = i / size;
      let n = min(at + j + row, end - 1u);
      right[row % 4u][row / 4u * size + i % size] = query_row(part, n, head * size + i % size);
    }
    workgroupBarrier();
    if (busy) {
      add_held(sums, lane, j);
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = head_size / 4u;
  let kv_head = group.y;
  let shared_by = dims.heads / dims.kv_heads;
  let down = lane / 8u;
  let along = lane % 8u;
  let prefix_groups = (prefix + TILE - 1u) / TILE;
  let is_prefix = group.x < prefix_groups;
  let top = select((group.x - prefix_groups) * TILE, dims.prefix_row + group.x * TILE, is_prefix);
  let bottom = min(top + TILE, select(dims.tokens, dims.prefix_row + prefix, is_prefix));
  // What makes a query's number at least its keys'.
  let behind = select(0u, bottom, is_prefix || causal == 0u);
  let key = vec4u(top + 4u * down) + vec4u(0u, 1u, 2u, 3u);

  var next = top;
  for (var first = top; first < bottom; first = next) {
    let end = select(bounds[select(first, 0u, is_prefix)].y, dims.tokens, is_prefix);
    next = select(min(end, bottom), bottom, is_prefix);
    let begin = select(select(bounds[select(first, 0u, is_prefix)].x, first, causal == 1u), 0u, is_prefix);
    var dk = array<mat4x4f, 4>();
    var dv = array<mat4x4f, 4>();
    for (var head = kv_head * shared_by; head < (kv_head + 1u) * shared_by; head++) {
      for (var at = begin; at < end; at += TILE) {
        // Lanes whose keys are all in another sequence, or behind these queries, only help to load.
        let busy = key.w >= first && key.x < min(next, at + TILE + behind);
        let s = products(0u, busy, lane, head, kv_head, top, first, next, at, end);
        let dp = products(1u, busy, lane, head, kv_head, top, first, next, at, end);
        let n = vec4u(at + 4u * along) + vec4u(0u, 1u, 2u, 3u);
        var log_sum: vec4f;
        var sum_d: vec4f;
        @unroll for (var i = 0u; i < 4u; i++) {
          let row = min(n[i], end - 1u) * dims.heads + head;
          log_sum[i] = lse[row];
          sum_d[i] = delta[row];
        }
        var p: mat4x4f;
        var ds: mat4x4f;
        @unroll for (var i = 0u; i < 4u; i++) {
          let counts = (n + behind >= vec4u(key[i])) & (n < vec4u(end));
          p[i] = select(vec4f(), exp(s[i] * dims.scale - log_sum), counts);
          ds[i] = select(vec4f(), p[i] * (dp[i] - sum_d) * dims.scale, counts);
        }
        accumulate(&dv, 1u, busy, p, lane, head, at, end);
        accumulate(&dk, 0u, busy, ds, lane, head, at, end);
      }
    }
    @unroll for (var i = 0u; i < 4u; i++) {
      if (key[i] >= first && key[i] < next) {
        @unroll for (var c = 0u; c < 4u; c++) {
          if (c * 8u + along < size) {
            let to = key[i] * qkv_width() + c * 8u + along;
            dqkv[to + keyvalue_column(0u, kv_head)] = dk[c][i];
            dqkv[to + keyvalue_column(1u, kv_head)] = dv[c][i];
          }
        }
      }
    }
  }
}
