// Gradient of attention with respect to the queries, and the row sums that the keys' gradient needs.
//
//   D[n, h] = dout[n, h] . out[n, h];  p_j = exp(s_j - lse[n, h]);  ds_j = p_j * (dout[n, h] . v[j, g] - D[n, h])
//   dq[n, h] = scale * sum_j ds_j k[j, g] for the keys j and the heads g of attention_forward
//
//   dqkv   (write)  [room, width]: columns of queries, in the tokens' rows
//   delta  (write)  [tokens, heads]: D
//   dout   (read)   [tokens, C]
//   out    (read)   [tokens, C]
//   lse    (read)   [tokens, heads]
//   qkv    (read)   [room, width]
//   bounds  (read)   [tokens, 2]: where the token's sequence starts and ends
//
// Grid: (ceil(tokens / 32), NH), one workgroup for 32 queries of a head. Tiles, lanes and the order of sums are those
// of attention_forward. Reference: Dao et al. 2022 (FlashAttention), algorithm 4.
//
// `left` and `right` hold queries and keys, dout and values, then ds and keys.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = head_size / 4u;
  let width = dims.heads * size;
  let head = group.y;
  let kv_head = head / (dims.heads / dims.kv_heads);
  let down = lane / 8u;
  let along = lane % 8u;
  let top = group.x * TILE;
  let bottom = min(top + TILE, dims.tokens);
  let n = vec4u(top + 4u * down) + vec4u(0u, 1u, 2u, 3u);

  // Summed in the order of dout . v: where a query has one key, their difference is 0, as the gradient is.
  if (along < 4u) {
    let row = min(n.x + along, bottom - 1u);
    var sum = 0.0;
    for (var c = 0u; c < size; c++) {
      let x = dout[row * width + head * size + c];
      let y = out[row * width + head * size + c];
      sum = sum + x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
    }
    if (n.x + along < bottom) {
      delta[row * dims.heads + head] = sum;
    }
    left[along][down] = vec4f(sum);
  }
  workgroupBarrier();
  let sum_d = vec4f(left[0][down].x, left[1][down].x, left[2][down].x, left[3][down].x);
  var log_sum: vec4f;
  @unroll for (var i = 0u; i < 4u; i++) {
    log_sum[i] = lse[min(n[i], bottom - 1u) * dims.heads + head];
  }

  var next = top;
  for (var first = top; first < bottom; first = next) {
    let start = bounds[first].x;
    next = min(bounds[first].y, bottom);
    let end = keys_end(next, bounds[first].y);
    let last = last_keys(n, end);
    var sums = array<mat4x4f, 4>();
    for (var at = start; at < end; at += TILE) {
      // Lanes whose queries are all in another sequence, or before these keys, only help to load.
      let busy = n.x < next && n.w >= first && last.w >= at;
      let s = products(0u, busy, lane, head, kv_head, top, first, next, start, at, end);
      let dp = products(1u, busy, lane, head, kv_head, top, first, next, start, at, end);
      let key = vec4u(at + 4u * along) + vec4u(0u, 1u, 2u, 3u);
      var ds: mat4x4f;
      @unroll for (var i = 0u; i < 4u; i++) {
        let slope = exp(s[i] * dims.scale - log_sum[i]) * (dp[i] - sum_d[i]) * dims.scale;
        ds[i] = select(vec4f(), slope, key <= vec4u(last[i]));
      }
      workgroupBarrier();
      @unroll for (var i = 0u; i < 4u; i++) {
        left[i][place(4u * down, along)] = ds[i];
      }
      add_keyvalues(&sums, 0u, busy, lane, kv_head, at, start, end);
    }
    @unroll for (var i = 0u; i < 4u; i++) {
      if (n[i] >= first && n[i] < next) {
        @unroll for (var c = 0u; c < 4u; c++) {
          if (c * 8u + along < size) {
            dqkv[n[i] * qkv_width() + head * size + c * 8u + along] = sums[c][i];
          }
        }
      }
    }
  }
}
