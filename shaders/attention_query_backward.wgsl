// Gradient of attention with respect to the queries, and the row sums that the keys' gradient needs.
//
//   D[n, h] = dout[n, h] . out[n, h];  p_j = exp(s_j - lse[n, h]);  ds_j = p_j * (dout[n, h] . v[j, h] - D[n, h])
//   dq[n, h] = sum_j ds_j k[j, h] / sqrt(HS) for start(n) <= j <= n
//
//   dqkv   (write)  [tokens, 3C]: the first third
//   delta  (write)  [tokens, heads]: D
//   dout   (read)   [tokens, C]
//   out    (read)   [tokens, C]
//   lse    (read)   [tokens, heads]
//   qkv    (read)   [tokens, 3C]
//   bounds  (read)   [tokens, 2]: where the token's sequence starts and ends
//
// Grid: (ceil(tokens / 64), NH); one invocation a query. Reference: Dao et al. 2022 (FlashAttention), algorithm 4.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  let head = id.y;
  if (n >= dims.tokens) {
    return;
  }
  let size = head_size / 4u;
  let width = dims.heads * size;
  let scale = 1.0 / sqrt(f32(head_size));
  let q_at = n * 3u * width + head * size;
  let out_at = n * width + head * size;
  var q: array<vec4f, 32>;
  var g: array<vec4f, 32>;
  var sum: array<vec4f, 32>;
  var d = 0.0;
  for (var c = 0u; c < size; c++) {
    q[c] = qkv[q_at + c] * scale;
    g[c] = dout[out_at + c];
    sum[c] = vec4f();
    d += dot(g[c], out[out_at + c]);
  }
  delta[n * dims.heads + head] = d;
  let log_sum = lse[n * dims.heads + head];
  for (var j = bounds[n].x; j <= n; j++) {
    let k_at = j * 3u * width + width + head * size;
    let v_at = k_at + width;
    var score = 0.0;
    var dp = 0.0;
    for (var c = 0u; c < size; c++) {
      score += dot(q[c], qkv[k_at + c]);
      dp += dot(g[c], qkv[v_at + c]);
    }
    let ds = exp(score - log_sum) * (dp - d) * scale;
    for (var c = 0u; c < size; c++) {
      sum[c] += ds * qkv[k_at + c];
    }
  }
  for (var c = 0u; c < size; c++) {
    dqkv[q_at + c] = sum[c];
  }
}
