// Chooses the next token of each sequence: the largest logit, or a draw by temperature, top-k and top-p.
//
//   l'[i] = l[i] of a token not seen, else l[i] * penalty if l[i] < 0, l[i] / penalty if not
//   greedy: the first i with the largest l'[i]; else i with probability w[i] / sum of w, where
//   w[i] = exp((l'[i] - max) / temperature) if l'[i] is one of the top_k largest, and i of the top_p likeliest; else 0
//
//   ids     (updates)  [room]: the chosen ids, at the rows of the next step; + 0x80000000 where the logit is not finite
//   drawn   (updates)  [steps, room]: the same, in the row `step`
//   seen    (updates)  [slots, words]: the tokens of each sequence as bits; used where penalty is not 1
//   logits  (updates)  [rows, cols]: l as bits; then l', then w
//   draws   (read)     [64, 12]: how the rows first .. first + 64 choose
//
// Grid: (min(rows - first, 64)), one workgroup a row. No sort: the smallest number that is kept is found two bits at a
// time, in 16 passes, by the count or the sum of those that are larger. Sums by a fixed tree.
// Reference: transformers LogitsProcessorList; Holtzman et al. 2020 (top-p); the selection is a radix select.

const LANES = 256u;
const NOT_FINITE = 0x80000000u;
const MINUS_INFINITY = 0xff800000u;
/// Below exp(LOWEST) f32 is no longer normal.
const LOWEST = -87.0;

var<workgroup> masses: array<vec4f, LANES>;
var<workgroup> best: array<vec2u, LANES>;
/// The lane that has the drawn id, what is left of the draw there, and whether it counts the equals of the last kept.
var<workgroup> found: vec3f;

/// Numbers in the order of f32's, from the bits of one; a NaN is the largest.
fn key_of(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return 0xffffffffu;
  }
  if (bits >= 0x80000000u) {
    return select(~bits, 0x80000000u, bits == 0x80000000u);
  }
  return bits | 0x80000000u;
}

fn penalized(bits: u32, penalty: f32) -> u32 {
  let logit = bitcast<f32>(bits);
  let result = bitcast<u32>(select(logit / penalty, logit * penalty, logit < 0.0));
  return select(result, bits, (bits & 0x7f800000u) == 0x7f800000u);
}

fn sum_of(lane: u32, mass: vec4f) -> vec4f {
  masses[lane] = mass;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      masses[lane] += masses[lane + half];
    }
    workgroupBarrier();
  }
  let sum = masses[0];
  workgroupBarrier();
  return sum;
}

/// The largest key, and the first id that has it.
fn largest_of(lane: u32, mine: vec2u) -> vec2u {
  best[lane] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let other = best[lane + half];
      if (other.x > best[lane].x || (other.x == best[lane].x && other.y < best[lane].y)) {
        best[lane] = other;
      }
    }
    workgroupBarrier();
  }
  return best[0];
}

/// The smallest key that is kept; how much of what has this key is needed, and how much there is.
struct Cut {
  key: u32,
  needed: f32,
  there: f32,
}

/// The largest key such that the elements that have it or a larger one are enough: `wanted` of them, or that share of
/// the sum of their weights.
fn find_cut(lane: u32, base: u32, choices: u32, by_weight: bool, wanted: f32) -> Cut {
  var cut = Cut(0u, wanted, 0.0);
  for (var i = 0u; i < 16u; i++) {
    let shift = 30u - 2u * i;
    // Of those whose higher bits are the key's, by their next two bits.
    var mine = vec4f();
    for (var id = lane; id < choices; id += LANES) {
      let bits = logits[base + id];
      let digits = (key_of(bits) ^ cut.key) >> shift;
      if (digits < 4u) {
        let mass = select(1.0, bitcast<f32>(bits), by_weight);
        mine += select(vec4f(), vec4f(mass), vec4u(digits) == vec4u(0u, 1u, 2u, 3u));
      }
    }
    let sum = sum_of(lane, mine);
    if (i == 0u && by_weight) {
      cut.needed = wanted * (((sum.x + sum.y) + sum.z) + sum.w);
    }
    var digit = 3u;
    while (digit > 0u && cut.needed > sum[digit]) {
      cut.needed -= sum[digit];
      digit--;
    }
    cut.there = sum[digit];
    cut.key |= digit << shift;
  }
  return cut;
}

/// Draws by weight: of those above the cut in the order of their ids, then of the first equals at the cut.
fn draw(lane: u32, base: u32, choices: u32, uniform_number: f32, cut: Cut) -> u32 {
  // A weight's key is its bits and the highest one.
  let each = bitcast<f32>(cut.key & 0x7fffffffu);
  let equals = select(0.0, min(max(1.0, ceil(cut.needed / each)), round(cut.there / each)), each > 0.0);
  // A lane has a stretch of ids, so that the stretches are in their order.
  let size = (choices + LANES - 1u) / LANES;
  let end = min(choices, (lane + 1u) * size);
  var mine = vec4f();
  for (var id = lane * size; id < end; id++) {
    let weight = bitcast<f32>(logits[base + id]);
    mine += select(vec4f(), vec4f(weight, 1.0, 0.0, 0.0), vec4<bool>(weight > each, weight == each, false, false));
  }
  masses[lane] = mine;
  workgroupBarrier();
  if (lane == 0u) {
    var above = 0.0;
    for (var i = 0u; i < LANES; i++) {
      above += masses[i].x;
    }
    var left = uniform_number * (above + equals * each);
    let is_equal = left >= above && equals > 0.0;
    if (is_equal) {
      left = min(floor((left - above) / each), equals - 1.0);
    }
    var at = 0u;
    for (var i = 0u; i < LANES; i++) {
      let mass = select(masses[i].x, masses[i].y, is_equal);
      if (mass > 0.0) {
        at = i;
        if (left < mass) {
          break;
        }
        left -= mass;
      }
    }
    found = vec3f(f32(at), left, f32(is_equal));
  }
  workgroupBarrier();
  var chosen = 0u;
  if (u32(found.x) == lane) {
    var left = found.y;
    let is_equal = found.z > 0.0;
    for (var id = lane * size; id < end; id++) {
      let weight = bitcast<f32>(logits[base + id]);
      let mass = select(select(0.0, weight, weight > each), f32(weight == each), is_equal);
      if (mass > 0.0) {
        chosen = id;
        left -= mass;
        if (left < 0.0) {
          break;
        }
      }
    }
    best[0].y = chosen;
  }
  workgroupBarrier();
  return best[0].y;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let how = draws[group.x];
  let base = (dims.first + group.x) * dims.cols;
  let seen_at = how.slot * dims.words;
  var mine = vec2u();
  for (var id = lane; id < how.choices; id += LANES) {
    var bits = logits[base + id];
    if (how.penalty != 1.0 && ((seen[seen_at + id / 32u] >> (id % 32u)) & 1u) == 1u) {
      bits = penalized(bits, how.penalty);
      logits[base + id] = bits;
    }
    let key = key_of(bits);
    if (key > mine.x) {
      mine = vec2u(key, id);
    }
  }
  let largest = largest_of(lane, mine);
  let is_finite = largest.x < key_of(0x7f800000u) && largest.x > key_of(MINUS_INFINITY);
  var chosen = largest.y;
  if (how.temperature > 0.0) {
    var least = 0u;
    if (how.top_k > 0u && how.top_k < how.choices) {
      least = find_cut(lane, base, how.choices, false, f32(how.top_k)).key;
    }
    let top = bitcast<f32>(select(~largest.x, largest.x & 0x7fffffffu, largest.x >= 0x80000000u));
    for (var id = lane; id < how.choices; id += LANES) {
      let bits = logits[base + id];
      let x = (bitcast<f32>(bits) - top) / how.temperature;
      let is_kept = key_of(bits) >= least && bits != MINUS_INFINITY && x > LOWEST;
      logits[base + id] = bitcast<u32>(select(0.0, exp(x), is_kept));
    }
    var cut = Cut(0u, 0.0, 0.0);
    if (how.top_p < 1.0) {
      cut = find_cut(lane, base, how.choices, true, how.top_p);
    }
    storageBarrier();
    let bits = threefry(vec2u(how.seed, how.stream), vec2u(how.number, 0u)).x;
    chosen = draw(lane, base, how.choices, f32(bits >> 8u) / 16777216.0, cut);
  }
  if (lane == 0u) {
    chosen = select(largest.y | NOT_FINITE, chosen, is_finite);
    ids[how.to] = chosen;
    drawn[dims.step * dims.room + how.to] = chosen;
    if (how.penalty != 1.0 && is_finite) {
      seen[seen_at + chosen / 32u] |= 1u << (chosen % 32u);
    }
  }
}
