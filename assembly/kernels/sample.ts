// The next token of each sequence, as shaders/sample.wgsl has it: a row is one thread's, with sums in f64, and eight
// bits a pass of the selection.
import { TABLE_ENTRIES } from "./generated/numbers";
import { Sample, SampleJob } from "./generated/records";
import { entry } from "./jobs";
import { scratch_memory, slice_begin, slice_end } from "./threads";
import { threefry } from "./threefry";
import { exp_of } from "./vector";

const NOT_FINITE: u32 = 0x80000000;
/** Below exp(LOWEST) f32 is no longer normal. */
const LOWEST: f32 = -87;
const DIGITS: u32 = 256;

/**
 * What `find_cut` found: the smallest key that is kept; how much of what has this key is needed, and how much there is.
 */
let cut: u32 = 0;
let needed: f64 = 0;
let there: f64 = 0;

/** Numbers in the order of f32's, from the bits of one that is no NaN. */
function key_of(bits: u32): u32 {
  if (bits == 0x80000000) return bits;
  return bits >> 31 ? ~bits : bits | 0x80000000;
}

function penalize(logits: usize, seen: usize, choices: u32, penalty: f32): void {
  for (let id: u32 = 0; id < choices; id++) {
    if (!((load<u32>(seen + ((id >> 5) << 2)) >> (id & 31)) & 1)) continue;
    const at = logits + (id << 2);
    const logit = load<f32>(at);
    store<f32>(at, logit < 0 ? logit * penalty : logit / penalty);
  }
}

/** The first id of the largest number, or of the first NaN. */
function largest_of(logits: usize, choices: u32): u32 {
  let largest: f32 = -Infinity;
  let best: u32 = 0;
  for (let id: u32 = 0; id < choices; id++) {
    const logit = load<f32>(logits + (id << 2));
    // Not `>`: a NaN must not be passed over.
    if (logit <= largest) continue;
    largest = logit;
    best = id;
    if (isNaN(logit)) break;
  }
  return best;
}

/** Finds the largest key such that the elements that have it or a larger one are enough: by count, or by weight. */
function find_cut(row: usize, choices: u32, by_weight: bool, wanted: f64): void {
  const masses = scratch_memory();
  const end = row + (choices << 2);
  cut = 0;
  needed = wanted;
  for (let shift: i32 = 24; shift >= 0; shift -= 8) {
    memory.fill(masses, 0, DIGITS << 3);
    for (let at = row; at < end; at += 4) {
      const digits = (key_of(load<u32>(at)) ^ cut) >> shift;
      if (digits >= DIGITS) continue;
      const mass = masses + (digits << 3);
      store<f64>(mass, load<f64>(mass) + (by_weight ? <f64>load<f32>(at) : 1));
    }
    let digit: u32 = DIGITS - 1;
    for (; ; digit--) {
      there = load<f64>(masses + (digit << 3));
      if (needed <= there || digit == 0) break;
      needed -= there;
    }
    cut |= digit << shift;
  }
}

/** Replaces the logits by weights, 0 where the logit's key is below `least`; returns their sum. */
function weigh(logits: usize, choices: u32, top: f32, temperature: f32, least: u32): f64 {
  let sum: f64 = 0;
  for (let id: u32 = 0; id < choices; id++) {
    const at = logits + (id << 2);
    const x = (load<f32>(at) - top) / temperature;
    const weight: f32 = x > LOWEST && key_of(load<u32>(at)) >= least ? exp_of(x) : 0;
    store<f32>(at, weight);
    sum += weight;
  }
  return sum;
}

/** Draws by weight: of those above the cut in the order of their ids, then of the first equals at the cut. */
function draw(weights: usize, choices: u32, uniform: f64): u32 {
  // A weight's key is its bits and the highest one.
  const each = reinterpret<f32>(cut & 0x7fffffff);
  const equals = each > 0 ? min<f64>(max<f64>(1, ceil(needed / each)), nearest(there / each)) : 0;
  let above: f64 = 0;
  for (let id: u32 = 0; id < choices; id++) {
    const weight = load<f32>(weights + (id << 2));
    if (weight > each) above += weight;
  }
  let left = uniform * (above + equals * each);
  const is_equal = left >= above && equals > 0;
  if (is_equal) left = min<f64>(floor((left - above) / each), equals - 1);
  let chosen: u32 = 0;
  for (let id: u32 = 0; id < choices; id++) {
    const weight = load<f32>(weights + (id << 2));
    if (is_equal ? weight != each : weight <= each) continue;
    chosen = id;
    left -= is_equal ? 1 : weight;
    if (left < 0) break;
  }
  return chosen;
}

function choose(p: Sample, how: SampleJob, logits: usize): u32 {
  const choices = how.choices;
  if (how.penalty != 1) penalize(logits, p.seen + ((<usize>how.slot * p.words) << 2), choices, how.penalty);
  const best = largest_of(logits, choices);
  const top = load<f32>(logits + (best << 2));
  if (!isFinite(top)) return best | NOT_FINITE;
  if (how.temperature == 0) return best;
  cut = 0;
  if (how.top_k > 0 && how.top_k < choices) find_cut(logits, choices, false, how.top_k);
  const sum = weigh(logits, choices, top, how.temperature, cut);
  cut = 0;
  if (how.top_p < 1) find_cut(logits, choices, true, how.top_p * sum);
  threefry(scratch_memory(), how.seed, how.stream, i32x4.splat(how.number), i32x4.splat(0));
  return draw(logits, choices, <f64>(load<u32>(scratch_memory()) >> 8) / 16777216);
}

/** The ids of rows first .. first + 64, to their rows in the next step, and to row `step` of drawn [steps, room]. */
export function sample(p: Sample): void {
  const rows = min<u32>(p.rows > p.first ? p.rows - p.first : 0, TABLE_ENTRIES);
  const end = slice_end(rows, 1);
  for (let row = slice_begin(rows, 1); row < end; row++) {
    const how = entry<SampleJob>(p.draws, row);
    const id = choose(p, how, p.logits + ((<usize>(p.first + row) * p.cols) << 2));
    store<u32>(p.ids + (how.to << 2), id);
    store<u32>(p.drawn + ((p.step * p.room + how.to) << 2), id);
    if (how.penalty == 1 || id >= NOT_FINITE) continue;
    const word = p.seen + ((how.slot * p.words + (id >> 5)) << 2);
    store<u32>(word, load<u32>(word) | (1 << (id & 31)));
  }
}
