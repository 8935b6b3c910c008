// SentencePiece's map of characters (`precompiled_charsmap`), as the library `tokenizers` applies it: of a grapheme
// cluster of less than six bytes, and otherwise of each character, the shortest beginning that is in the map stands for
// all of it. The map is {u32 bytes of the trie, u32 units, texts that end in 0}; the trie is that of darts-clone.

import { class_of, point_bytes, read_point } from "./characters";
import { CLASS_ATTACHED, CLASS_BREAK, CLASS_PICTOGRAPH, CLASS_PREPENDED } from "./generated/numbers";
import { more_room, room } from "./room";

const CLUSTER_BYTES: usize = 6;
/** ZERO WIDTH JOINER, between emoji. */
const JOINER: u32 = 0x200d;
let units: usize = 0;
let unit_count: u32 = 0;
let texts: usize = 0;
let texts_end: usize = 0;
/** Bytes that the map leaves as they are, where no cluster begins. */
const plain = memory.data(128);

/** The text that was found last. */
let found: usize = 0;
let found_bytes: usize = 0;

function unit_at(place: u32): u32 {
  return place < unit_count ? load<u32>(units + ((<usize>place) << 2)) : 0x80000000;
}

/** The place of the node behind a unit, before the byte is added. */
function offset_of(unit: u32): u32 {
  return (unit >> 10) << ((unit & 0x200) >> 6);
}

/** Sets what is found to the text of the leaf at `place`. */
function find_text(place: u32): void {
  found = min(texts + <usize>(unit_at(place) & 0x7fffffff), texts_end);
  let end = found;
  while (end < texts_end && load<u8>(end) != 0) end++;
  found_bytes = end - found;
}

/** Finds what stands for the text from `at` to `end`; false: nothing does. */
function find(at: usize, end: usize): bool {
  let place = offset_of(unit_at(0));
  for (; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte == 0) return false;
    const next = place ^ byte;
    const unit = unit_at(next);
    if ((unit & 0x800000ff) != byte) return false;
    place = next ^ offset_of(unit);
    if (unit & 0x100) {
      find_text(place);
      return true;
    }
  }
  return false;
}

/** The end of the grapheme cluster at `at`, by what matters to a map: of what begins with Hangul or a flag, any part. */
function cluster_end(at: usize, end: usize): usize {
  const first = read_point(at);
  let kind = class_of(first);
  at += point_bytes;
  if (kind & CLASS_BREAK) return first == 0x0d && at < end && load<u8>(at) == 0x0a ? at + 1 : at;
  const is_pictograph = kind & CLASS_PICTOGRAPH;
  for (let point = first; at < end; at += point_bytes) {
    const before = kind;
    const is_joined = is_pictograph && point == JOINER;
    point = read_point(at);
    kind = class_of(point);
    const goes_on = before & CLASS_PREPENDED ? !(kind & CLASS_BREAK) : is_joined && kind & CLASS_PICTOGRAPH;
    if (!(kind & CLASS_ATTACHED) && !goes_on) break;
  }
  return min(at, end);
}

/** Writes the mapped text to the buffer, which is made large enough; returns its bytes. */
export function map_characters(at: usize, end: usize, buffer: usize): usize {
  let out = room(buffer, <u64>(end - at) + 4);
  let to: usize = 0;
  while (at < end) {
    const byte = load<u8>(at);
    if (byte < 0x80 && load<u8>(plain + byte) && (at + 1 == end || load<u8>(at, 1) < 0x80)) {
      store<u8>(out + to++, byte);
      at++;
      continue;
    }
    const stop = cluster_end(at, end);
    let next = stop;
    let is_mapped = stop - at < CLUSTER_BYTES && find(at, stop);
    for (const start = at; at < stop; at = next) {
      if (!is_mapped || at > start) {
        read_point(at);
        next = min(at + point_bytes, stop);
        is_mapped = find(at, next);
      }
      if (is_mapped) {
        out = more_room(buffer, to, <u64>to + <u64>found_bytes + <u64>(end - next) + 4);
        memory.copy(out + to, found, found_bytes);
        to += found_bytes;
      } else {
        memory.copy(out + to, at, next - at);
        to += next - at;
      }
    }
  }
  return to;
}

/** Loads a map; returns the most characters (`by_bytes`: bytes) of a text in it, 0: it is damaged. */
export function load_charsmap(at: usize, bytes: usize, by_bytes: bool): u32 {
  if (bytes < 4 || <usize>load<u32>(at) > bytes - 4) return 0;
  units = at + 4;
  unit_count = load<u32>(at) >> 2;
  texts = units + load<u32>(at);
  texts_end = at + bytes;
  for (let byte: usize = 0; byte < 128; byte++) {
    store<u8>(plain + byte, <u8>byte);
    store<u8>(plain + byte, byte != 0x0d && !find(plain + byte, plain + byte + 1));
  }
  let most: u32 = 1;
  for (let size: u32 = 0, text = texts; text < texts_end; text++) {
    const byte = load<u8>(text);
    if (by_bytes || (byte & 0xc0) != 0x80) size++;
    if (byte == 0) size = 0;
    most = max(most, size);
  }
  return most;
}
