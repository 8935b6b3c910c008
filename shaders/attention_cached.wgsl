// Attention of new tokens to what the cache holds of their sequences, themselves included.
//
//   s_j = q[n, h] . k[slot(n), h, j] / sqrt(HS) for 0 <= j <= position(n)
//   out[n, h] = sum_j exp(s_j - max) v[slot(n), h, j] / sum_j exp(s_j - max)
//
//   out     (write)  [tokens, C]
//   qkv     (read)   [tokens, 3C]: q, k, v, each [NH, HS]; only q is used
//   cache   (read)   [slots, 2, heads, positions, head_size]: keys and values
//   slots  (read)   [tokens, 2]: the token's slot and its position in it
//
// Grid: (tokens, NH), one workgroup a query and head: one token alone keeps a device busy. Keys come in tiles, with an
// online softmax over tiles; in the second half a lane has four of the head's numbers and every `groups`-th key.
// Reference: Dao et al. 2023 (Flash-Decoding), without the split of a sequence over workgroups; Milakov and Gimelshein 2018.

const LANES = 64u;
const TILE = 1024u;
const LOWEST = -3.0e38;

var<workgroup> weights: array<f32, TILE>;
var<workgroup> partial: array<f32, LANES>;
var<workgroup> sums: array<vec4f, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = group.x;
  let head = group.y;
  let size = head_size / 4u;
  let at_slot = slots[n];
  let count = at_slot.y + 1u;
  let scale = 1.0 / sqrt(f32(head_size));
  let q_at = n * 3u * dims.heads * size + head * size;
  let k_at = (at_slot.x * 2u * dims.heads + head) * dims.positions * size;
  let v_at = k_at + dims.heads * dims.positions * size;
  let groups = LANES / size;
  let mine = lane / size;
  let column = lane % size;
  var sum = vec4f();
  var largest = LOWEST;
  var total = 0.0;
  for (var first = 0u; first < count; first += TILE) {
    let keys = min(TILE, count - first);
    var top = LOWEST;
    for (var j = lane; j < keys; j += LANES) {
      var score = 0.0;
      for (var c = 0u; c < size; c++) {
        score += dot(qkv[q_at + c], cache[k_at + (first + j) * size + c]);
      }
      weights[j] = score * scale;
      top = max(top, score * scale);
    }
    partial[lane] = top;
    workgroupBarrier();
    let before = largest;
    for (var i = 0u; i < LANES; i++) {
      largest = max(largest, partial[i]);
    }
    workgroupBarrier();
    var mass = 0.0;
    for (var j = lane; j < keys; j += LANES) {
      let p = exp(weights[j] - largest);
      weights[j] = p;
      mass += p;
    }
    partial[lane] = mass;
    workgroupBarrier();
    let shrink = exp(before - largest);
    total *= shrink;
    for (var i = 0u; i < LANES; i++) {
      total += partial[i];
    }
    sum *= shrink;
    if (mine < groups) {
      for (var j = mine; j < keys; j += groups) {
        sum += weights[j] * cache[v_at + (first + j) * size + column];
      }
    }
    workgroupBarrier();
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (mine == 0u) {
    for (var g = 1u; g < groups; g++) {
      sum += sums[g * size + column];
    }
    out[n * dims.heads * size + head * size + column] = sum / total;
  }
}
