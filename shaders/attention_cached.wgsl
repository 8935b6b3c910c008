// Attention of new tokens to what the cache holds of their sequences, themselves included.
//
//   s_j = scale * q[n, h] . k[slot(n), g, j] for 0 <= j <= position(n);  g = floor(h / (NH / KV))
//   out[n, h] = sum_j exp(s_j - max) v[slot(n), g, j] / sum_j exp(s_j - max)
//
//   out     (write)  [tokens, C]
//   qkv     (read)   [tokens, width]: q [NH, HS], k and v [KV, HS]; only q is used
//   cache   (read)   [slots, 2, kv_heads, positions, head_size]: keys and values
//   slots  (read)   [tokens, 2]: the token's slot and its position in it
//
// Grid: (tokens, NH), one workgroup a query and head: one token alone keeps a device busy. Keys come in tiles of 256,
// with an online softmax over tiles. For the scores four lanes share a key, so that they read its row together; then a
// lane has a key's weight; then it has four of the head's numbers and every `groups`-th key. HS is a multiple of 4 and
// at most 128.
// Reference: Dao et al. 2023 (Flash-Decoding), without the split of a sequence over workgroups; Milakov and
// Gimelshein 2018.

const LANES = 256u;
const LOWEST = -3.0e38;

// Four parts of each score; rows are longer than a tile, so that the lanes of a key find different banks.
var<workgroup> parts: array<array<f32, 264>, 4>;
var<workgroup> weights: array<f32, LANES>;
var<workgroup> each: array<f32, LANES>;
var<workgroup> sixteenths: array<f32, 16>;
var<workgroup> sums: array<vec4f, LANES>;

fn largest_of(lane: u32, x: f32) -> f32 {
  each[lane] = x;
  workgroupBarrier();
  if (lane < 16u) {
    var most = LOWEST;
    for (var i = 0u; i < 16u; i++) {
      most = max(most, each[lane * 16u + i]);
    }
    sixteenths[lane] = most;
  }
  workgroupBarrier();
  var most = LOWEST;
  for (var i = 0u; i < 16u; i++) {
    most = max(most, sixteenths[i]);
  }
  return most;
}

fn sum_of(lane: u32, x: f32) -> f32 {
  each[lane] = x;
  workgroupBarrier();
  if (lane < 16u) {
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) {
      sum += each[lane * 16u + i];
    }
    sixteenths[lane] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < 16u; i++) {
    sum += sixteenths[i];
  }
  return sum;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = group.x;
  let head = group.y;
  let size = head_size / 4u;
  let at_slot = slots[n];
  let count = at_slot.y + 1u;
  let q_at = (n * (dims.heads + 2u * dims.kv_heads) + head) * size;
  let kv_head = head / (dims.heads / dims.kv_heads);
  let k_at = (at_slot.x * 2u * dims.kv_heads + kv_head) * dims.positions * size;
  let v_at = k_at + dims.kv_heads * dims.positions * size;
  let part = lane % 4u;
  let groups = LANES / size;
  let mine = lane / size;
  let column = lane % size;
  var q: array<vec4f, 8>;
  @unroll for (var c = 0u; c < 8u; c++) {
    let at = 4u * c + part;
    q[c] = select(vec4f(), qkv[q_at + min(at, size - 1u)], at < size);
  }
  var sum = vec4f();
  var largest = LOWEST;
  var total = 0.0;
  for (var first = 0u; first < count; first += LANES) {
    let keys = min(LANES, count - first);
    for (var j = lane / 4u; j < keys; j += LANES / 4u) {
      var score = 0.0;
      @unroll for (var c = 0u; c < 8u; c++) {
        if (4u * c < size) {
          score += dot(q[c], cache[k_at + (first + j) * size + min(4u * c + part, size - 1u)]);
        }
      }
      parts[part][j] = score;
    }
    workgroupBarrier();
    var score = LOWEST;
    if (lane < keys) {
      score = ((parts[0][lane] + parts[1][lane]) + (parts[2][lane] + parts[3][lane])) * dims.scale;
    }
    let before = largest;
    largest = max(before, largest_of(lane, score));
    let p = select(0.0, exp(score - largest), lane < keys);
    let shrink = exp(before - largest);
    total = total * shrink + p;
    weights[lane] = p;
    workgroupBarrier();
    sum *= shrink;
    if (mine < groups) {
      // Four loads at a time are in flight; a key beyond the last one is the last one with weight 0.
      for (var j = mine; j < keys; j += 4u * groups) {
        for (var i = 0u; i < 4u; i++) {
          let key = j + i * groups;
          let weight = select(0.0, weights[min(key, LANES - 1u)], key < keys);
          sum += weight * cache[v_at + (first + min(key, keys - 1u)) * size + column];
        }
      }
    }
    workgroupBarrier();
  }
  total = sum_of(lane, total);
  sums[lane] = sum;
  workgroupBarrier();
  if (mine == 0u) {
    for (var g = 1u; g < groups; g++) {
      sum += sums[g * size + column];
    }
    out[n * dims.heads * size + head * size + column] = sum / total;
  }
}
