// Texts in Unicode's composed form, NFC, for vocabularies that want it (Qwen2's). The host composes; most texts are
// seen to be in NFC here, without it.

import { normalizes } from "./vocabulary";

/** Imported from the host: writes the text in NFC, at most three times as long, and returns its bytes; -1: no UTF-8. */
declare function to_nfc(text: usize, length: i32, out: usize): i32;

/** Most bytes of a text in NFC for each of its own. */
const GROWTH: usize = 3;

let composed: usize = 0;
let composed_bytes: usize = 0;

/** Where the text of the last `normalize` ends. */
export let normal_end: usize = 0;

/**
 * Whether the text has none but characters that are in NFC whatever surrounds them: below U+0300, general punctuation
 * and currency signs, Han, Hangul syllables, and U+1F000 to U+1FFFF (emoji). test/data/patterns.test.ts checks them.
 */
function is_composed(at: usize, end: usize): bool {
  while (at < end) {
    if (end - at >= 8 && (load<u64>(at) & 0x8080808080808080) == 0) {
      at += 8;
      continue;
    }
    const lead = <u32>load<u8>(at);
    if (lead < 0xcc) {
      at++; // also a continuation byte
      continue;
    }
    if (end - at < 3) return false;
    const two = (lead << 8) | <u32>load<u8>(at, 1);
    const three = (two << 8) | <u32>load<u8>(at, 2);
    const is_safe =
      (three >= 0xe28090 && three < 0xe28390) || // U+2010 to U+20CF
      (two >= 0xe390 && two < 0xea99) || // U+3400 to U+A63F
      (two >= 0xeab0 && two < 0xed9e) || // U+AC00 to U+D77F
      two == 0xf09f; // U+1F000 to U+1FFFF
    if (!is_safe) return false;
    at += 3;
  }
  return true;
}

/** The address of the text in NFC if the vocabulary wants it, otherwise of the text itself; `normal_end` is its end. */
export function normalize(text: usize, end: usize): usize {
  normal_end = end;
  if (!normalizes || is_composed(text, end)) return text;
  const length = end - text;
  // For longer texts the product would wrap around; the allocator refuses this one.
  const need = min<usize>(length, 1 << 29) * GROWTH;
  if (composed_bytes < need) {
    if (composed != 0) heap.free(composed);
    composed = 0; // in case the allocation traps
    composed_bytes = 0;
    composed = heap.alloc(need);
    composed_bytes = need;
  }
  const bytes = to_nfc(text, <i32>length, composed);
  if (bytes < 0) return text;
  normal_end = composed + <usize>bytes;
  return composed;
}

/** The most ids of a text of `length` bytes, with the one before it. */
export function most_ids(length: i32): i32 {
  return length * (normalizes ? <i32>GROWTH : 1) + 1;
}
