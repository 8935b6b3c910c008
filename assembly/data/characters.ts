// Characters of well-formed UTF-8 and their classes, for kinds that have texts in characters: those of the library
// `tokenizers`, of every code point (src/io/tokenizer/character-classes.ts), which follow no one version of Unicode.

import { CLASS_LIMIT } from "./generated/numbers";

/** A byte for each code point. */
let classes: usize = 0;

/** The bytes of the character that was read last. */
export let point_bytes: usize = 0;

/** The character at `at`. Of bytes that are not UTF-8 it is any one. */
export function read_point(at: usize): u32 {
  const lead = <u32>load<u8>(at);
  point_bytes = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (point_bytes == 1) return lead;
  let point = lead & (0x7f >> <u32>point_bytes);
  for (let i: usize = 1; i < point_bytes; i++) point = (point << 6) | (load<u8>(at + i) & 0x3f);
  return point;
}

/** The classes of a code point: a sum of CLASS_. */
export function class_of(point: u32): u32 {
  return load<u8>(classes + min(point, CLASS_LIMIT - 1));
}

export function load_classes(at: usize, bytes: usize): bool {
  classes = at;
  return bytes == CLASS_LIMIT;
}
