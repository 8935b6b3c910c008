// Attention, causal or not, within the sequences of a packed batch, behind a prefix that all of them see, by an online
// softmax: no score matrix is kept.
//
//   s_j = scale * q[n, h] . k[j, g] for start(n) <= j < end(n), if causal j <= n, and for the prefix's rows j;  g = floor(h / (NH / KV))
//   out[n, h] = sum_j exp(s_j - max) v[j, g] / sum_j exp(s_j - max);  lse[n, h] = max + log(sum_j exp(s_j - max))
//
//   out    (write)  [tokens, C]
//   lse    (write)  [tokens, heads], saved for the backward pass
//   qkv    (read)   [room, width]: q [NH, HS], k and v [KV, HS]; of the rows prefix_row .. prefix_row + prefix - 1, the
//     prefix, k and v
//   bounds  (read)   [tokens, 2]: where the token's sequence starts and ends
//
// Grid: (ceil(tokens / 32), NH), one workgroup for 32 queries of a head. It takes the sequences in its rows one by one:
// their keys come in tiles of 32, counted from the prefix's first, which those from the start of the sequence follow,
// so that a row's sums do not depend on where in the batch it lies, and no number of another sequence enters them.
// Lanes are 8 x 8: `down` has four queries, `along` four keys or every eighth vec4 of the head. HS is a multiple of 4
// and at most 128.
// Reference: Dao et al. 2022 (FlashAttention), algorithm 1; Milakov and Gimelshein 2018 (online softmax); Ainslie et
// al. 2023 (grouped queries).
//
// `left` and `right` hold queries and keys, then weights and values.

const LOWEST = -3.0e38;

fn query_row(part: u32, n: u32, at: u32) -> vec4f {
  return qkv[n * qkv_width() + at];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = head_size / 4u;
  let head = group.y * size;
  let kv_head = group.y / (dims.heads / dims.kv_heads);
  let down = lane / 8u;
  let along = lane % 8u;
  let top = group.x * TILE;
  let bottom = min(top + TILE, dims.tokens);
  let n = vec4u(top + 4u * down) + vec4u(0u, 1u, 2u, 3u);

  var next = top;
  for (var first = top; first < bottom; first = next) {
    let start = bounds[first].x;
    next = min(bounds[first].y, bottom);
    let end = keys_end(next, bounds[first].y);
    let last = last_keys(n, end);
    var sums = array<mat4x4f, 4>();
    var largest = vec4f(LOWEST);
    var total = vec4f();
    for (var at = start; at < end; at += TILE) {
      // Lanes whose queries are all in another sequence, or before these keys, only help to load.
      let busy = n.x < next && n.w >= first && last.w >= at;
      var s = products(0u, busy, lane, group.y, kv_head, top, first, next, start, at, end);
      let key = vec4u(at + 4u * along) + vec4u(0u, 1u, 2u, 3u);
      @unroll for (var i = 0u; i < 4u; i++) {
        s[i] = select(vec4f(LOWEST), s[i] * dims.scale, key <= vec4u(last[i]));
      }
      let by_key = transpose(s);
      workgroupBarrier();
      right[0][lane] = max(max(by_key[0], by_key[1]), max(by_key[2], by_key[3]));
      workgroupBarrier();
      let before = largest;
      for (var i = 0u; i < 8u; i++) {
        largest = max(largest, right[0][down * 8u + i]);
      }
      // Where nothing changed, exp(0) need not be 1 to the last bit.
      let shrink = select(exp(before - largest), vec4f(1.0), before == largest);
      let p = mat4x4f(exp(s[0] - largest.x), exp(s[1] - largest.y), exp(s[2] - largest.z), exp(s[3] - largest.w));
      let mass = transpose(p);
      total = total * shrink + (((mass[0] + mass[1]) + mass[2]) + mass[3]);
      @unroll for (var c = 0u; c < 4u; c++) {
        sums[c] = mat4x4f(sums[c][0] * shrink.x, sums[c][1] * shrink.y, sums[c][2] * shrink.z, sums[c][3] * shrink.w);
      }
      @unroll for (var i = 0u; i < 4u; i++) {
        left[i][place(4u * down, along)] = p[i];
      }
      add_keyvalues(&sums, 1u, busy, lane, kv_head, at, start, end);
    }
    workgroupBarrier();
    right[0][lane] = total;
    workgroupBarrier();
    total = vec4f();
    for (var i = 0u; i < 8u; i++) {
      total += right[0][down * 8u + i];
    }
    @unroll for (var i = 0u; i < 4u; i++) {
      if (n[i] >= first && n[i] < next) {
        @unroll for (var c = 0u; c < 4u; c++) {
          if (c * 8u + along < size) {
            out[n[i] * dims.heads * size + head + c * 8u + along] = sums[c][i] / total[i];
          }
        }
        if (along == 0u) {
          lse[n[i] * dims.heads + group.y] = largest[i] + log(total[i]);
        }
      }
    }
  }
}
