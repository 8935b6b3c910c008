// Gradient of attention with respect to the keys and the values.
//
//   p_i = exp(s_ij - lse[i, h]);  ds_i = p_i * (dout[i, h] . v[j, h] - D[i, h])  for j <= i < end(j)
//   dk[j, h] = sum_i ds_i q[i, h] / sqrt(HS);  dv[j, h] = sum_i p_i dout[i, h]
//
//   dqkv   (updates)  [tokens, 3C]: the second and third thirds
//   delta  (read)     [tokens, heads]: D, the row sums made by attention_query_backward
//   dout   (read)     [tokens, C]
//   lse    (read)     [tokens, heads]
//   qkv    (read)     [tokens, 3C]
//   bounds  (read)     [tokens, 2]: where the token's sequence starts and ends
//
// Grid: (ceil(tokens / 64), NH); one invocation a key. Reference: Dao et al. 2022 (FlashAttention), algorithm 4.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let j = id.x;
  let head = id.y;
  if (j >= dims.tokens) {
    return;
  }
  let size = head_size / 4u;
  let width = dims.heads * size;
  let scale = 1.0 / sqrt(f32(head_size));
  let k_at = j * 3u * width + width + head * size;
  let v_at = k_at + width;
  var k: array<vec4f, 32>;
  var v: array<vec4f, 32>;
  var dk: array<vec4f, 32>;
  var dv: array<vec4f, 32>;
  for (var c = 0u; c < size; c++) {
    k[c] = qkv[k_at + c] * scale;
    v[c] = qkv[v_at + c];
    dk[c] = vec4f();
    dv[c] = vec4f();
  }
  let end = bounds[j].y;
  for (var i = j; i < end; i++) {
    let q_at = i * 3u * width + head * size;
    let out_at = i * width + head * size;
    var score = 0.0;
    var dp = 0.0;
    for (var c = 0u; c < size; c++) {
      score += dot(k[c], qkv[q_at + c]);
      dp += dot(v[c], dout[out_at + c]);
    }
    let p = exp(score - lse[i * dims.heads + head]);
    let ds = p * (dp - delta[i * dims.heads + head]) * scale;
    for (var c = 0u; c < size; c++) {
      dk[c] += ds * qkv[q_at + c];
      dv[c] += p * dout[out_at + c];
    }
  }
  for (var c = 0u; c < size; c++) {
    dqkv[k_at + c] = dk[c];
    dqkv[v_at + c] = dv[c];
  }
}
