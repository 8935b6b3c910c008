// The tokens of a vocabulary as a trie over their bytes, in one hash table. A node is its slot, {u32 key, u32 value}: the
// key is of the node before and the byte, 0: empty; the value is the token's id + 1, 0: none, with SPECIAL.

import { TOKEN_SPECIAL } from "./generated/numbers";
import { added_count, added_tokens, token_at, token_length } from "./vocabulary";

/** The first node. No node can be 0. */
export const ROOT: u32 = 1;
/** In a node's value: the token is special. */
const SPECIAL: u32 = 1 << 31;
/** Of no token. */
export const NO_TOKEN: i32 = -1;

/** Keys have the slot of a node in 24 bits. */
const MOST_SLOTS: u32 = 1 << 24;
let slots: usize = 0;
let count: u32 = 0;
let shift: u32 = 0;
let used: u32 = 0;

/** The slot of a key, or the empty one where it belongs. */
function slot_of(key: u32): u32 {
  let slot = (key * 0x9e3779b1) >> shift;
  while (true) {
    const has = load<u32>(slots + ((<usize>slot) << 3));
    if (has == key || has == 0) return slot;
    slot = (slot + 1) & (count - 1);
  }
}

/** The node behind `node` by a byte; 0: none. */
export function next_node(node: u32, byte: u8): u32 {
  const slot = slot_of(((node << 8) | <u32>byte) + 1);
  return load<u32>(slots + ((<usize>slot) << 3)) == 0 ? 0 : slot;
}

/** The token that ends at a node; without `special` none that is special. */
export function token_of(node: u32, special: bool): i32 {
  const value = load<u32>(slots + ((<usize>node) << 3), 4);
  return value & SPECIAL && !special ? NO_TOKEN : <i32>(value & ~SPECIAL) - 1;
}

/** The node behind `node` by `length` bytes; 0: none. */
export function walk(node: u32, text: usize, length: usize): u32 {
  for (let i: usize = 0; i < length && node != 0; i++) node = next_node(node, load<u8>(text + i));
  return node;
}

/** Adds all tokens up to `ids`; false if there are more than 60 nodes for 100 slots. */
function fill(ids: u32): bool {
  memory.fill(slots, 0, (<usize>count) << 3);
  // Slot 0 is no node, slot 1 the first.
  store<u32>(slots, u32.MAX_VALUE);
  store<u32>(slots, u32.MAX_VALUE, 8);
  used = 2;
  const most = <u32>(<f64>count * 0.6);
  for (let id: u32 = 0; id < ids; id++) {
    const text = token_at(id);
    const length = <usize>token_length(id);
    let node = ROOT;
    for (let i: usize = 0; i < length; i++) {
      const key = ((node << 8) | <u32>load<u8>(text + i)) + 1;
      node = slot_of(key);
      const at = slots + ((<usize>node) << 3);
      if (load<u32>(at) != 0) continue;
      if (++used > most) return false;
      store<u32>(at, key);
    }
    if (length > 0) store<u32>(slots + ((<usize>node) << 3), id + 1, 4);
  }
  return true;
}

/** Builds the trie of the first `ids` tokens; false if they are too many. */
export function build_trie(ids: u32): bool {
  count = 1024;
  while (count < 4 * ids && count < MOST_SLOTS) count <<= 1;
  while (true) {
    slots = heap.alloc((<usize>count) << 3);
    shift = 32 - ctz(count);
    if (fill(ids)) break;
    heap.free(slots);
    if (count == MOST_SLOTS) return false;
    count <<= 1;
  }
  for (let i: u32 = 0; i < added_count; i++) {
    const token = added_tokens + ((<usize>i) << 3);
    const id = load<u32>(token);
    if (id >= ids || !(load<u32>(token, 4) & TOKEN_SPECIAL)) continue;
    const node = walk(ROOT, token_at(id), token_length(id));
    store<u32>(slots + ((<usize>node) << 3), SPECIAL | (id + 1), 4);
  }
  return true;
}
