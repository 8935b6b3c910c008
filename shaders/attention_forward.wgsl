// Causal attention within the sequences of a packed batch, by an online softmax: no score matrix is kept.
//
//   s_j = q[n, h] . k[j, h] / sqrt(HS) for start(n) <= j <= n
//   out[n, h] = sum_j exp(s_j - max) v[j, h] / sum_j exp(s_j - max);  lse[n, h] = max + log(sum_j exp(s_j - max))
//
//   out    (write)  [tokens, C]
//   lse    (write)  [tokens, heads], saved for the backward pass
//   qkv    (read)   [tokens, 3C]: q, k, v, each [NH, HS]
//   bounds  (read)   [tokens, 2]: where the token's sequence starts and ends
//
// Grid: (ceil(tokens / 64), NH); one invocation a query. HS is a multiple of 4 and at most 128.
// Reference: llm.c attention_forward; Milakov and Gimelshein 2018 for the online softmax.

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
  var q: array<vec4f, 32>;
  var sum: array<vec4f, 32>;
  for (var c = 0u; c < size; c++) {
    q[c] = qkv[q_at + c] * scale;
    sum[c] = vec4f();
  }
  var largest = -3.0e38;
  var total = 0.0;
  for (var j = bounds[n].x; j <= n; j++) {
    let k_at = j * 3u * width + width + head * size;
    let v_at = k_at + width;
    var score = 0.0;
    for (var c = 0u; c < size; c++) {
      score += dot(q[c], qkv[k_at + c]);
    }
    if (score > largest) {
      let shrink = exp(largest - score);
      total *= shrink;
      for (var c = 0u; c < size; c++) {
        sum[c] *= shrink;
      }
      largest = score;
    }
    let p = exp(score - largest);
    total += p;
    for (var c = 0u; c < size; c++) {
      sum[c] += p * qkv[v_at + c];
    }
  }
  let out_at = n * width + head * size;
  for (var c = 0u; c < size; c++) {
    out[out_at + c] = sum[c] / total;
  }
  lse[n * dims.heads + head] = largest + log(total);
}
