// Words that are tokens whatever the merges say (`ignore_merges`, Llama 3): a hash table of their ids.

import { token_at, token_length, whole_count, whole_ids } from "./vocabulary";

/** Slots of u32 id + 1, 0: empty; a power of two of them, at least twice the words. 0: there are no such words. */
let slots: usize = 0;
let slot_mask: u32 = 0;
let longest: usize = 0;

function hash(text: usize, length: usize): u32 {
  let mixed: u64 = <u64>length;
  for (let i: usize = 0; i < length; i++) mixed = (mixed ^ <u64>load<u8>(text + i)) * 0x9e3779b97f4a7c15;
  return <u32>(mixed >> 32);
}

/** Prepares the search for the words of a vocabulary that is loaded. */
export function prepare_words(): void {
  if (whole_count == 0) return;
  let count: u32 = 16;
  while (count < 2 * whole_count) count <<= 1;
  slot_mask = count - 1;
  slots = heap.alloc((<usize>count) << 2);
  memory.fill(slots, 0, (<usize>count) << 2);
  for (let i: u32 = 0; i < whole_count; i++) {
    const id = load<u32>(whole_ids + ((<usize>i) << 2));
    const length = <usize>token_length(id);
    longest = max(longest, length);
    let slot = hash(token_at(id), length) & slot_mask;
    while (load<u32>(slots + ((<usize>slot) << 2)) != 0) slot = (slot + 1) & slot_mask;
    store<u32>(slots + ((<usize>slot) << 2), id + 1);
  }
}

/** The id of the word of `length` bytes at `text`; -1: it is none. */
export function word_id(text: usize, length: usize): i32 {
  if (length > longest) return -1;
  let slot = hash(text, length) & slot_mask;
  while (true) {
    const id = <i32>load<u32>(slots + ((<usize>slot) << 2)) - 1;
    if (id < 0) return -1;
    if (<usize>token_length(id) == length && memory.compare(text, token_at(id), length) == 0) return id;
    slot = (slot + 1) & slot_mask;
  }
}
