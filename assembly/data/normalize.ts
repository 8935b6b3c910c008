// The normalizer of a vocabulary: steps over the text, each from one buffer into another. What is frequent is done here;
// the rest is the host's, which has Unicode's forms (src/io/tokenizer/pieces.ts).

import { map_characters } from "./charsmap";
import {
  HOST_ASCII,
  HOST_BERT,
  HOST_CLEAN,
  HOST_COMPOSED,
  HOST_LOWER,
  HOST_STRIP,
  PART_CHARSMAP,
  PART_HOST,
  PART_SPACES,
} from "./generated/numbers";
import { is_space } from "./pretokenize";
import { ROOM_HEADER, room } from "./room";
import { parts, parts_end } from "./vocabulary";

/** Imported from the host: takes a text through one of its steps; returns the bytes of the result, -1: it is no UTF-8. */
declare function transform(text: usize, length: i32, step: u32): i32;
/** Imported from the host: writes that result. */
declare function take(out: usize): void;

/** Two buffers, which take turns. */
const buffers = memory.data(2 * ROOM_HEADER);
let turn: usize = 0;

/** Where the text of the last `normalize` ends, and whether its first character is that of the given text. */
export let normal_end: usize = 0;
export let keeps_front: bool = true;

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

/** The buffer for the next step's text: its header. */
function next_buffer(): usize {
  turn ^= ROOM_HEADER;
  return buffers + turn;
}

function is_ascii(at: usize, end: usize): bool {
  for (; end - at >= 8; at += 8) if (load<u64>(at) & 0x8080808080808080) return false;
  for (; at < end; at++) if (load<u8>(at) >= 0x80) return false;
  return true;
}

/** The text of the host's step; ASCII is done here. */
function host_step(text: usize, end: usize, step: u32, flags: u32): usize {
  normal_end = end;
  if (flags & HOST_COMPOSED && is_composed(text, end)) return text;
  if (flags & (HOST_ASCII | HOST_BERT) && is_ascii(text, end))
    return flags & HOST_BERT ? bert_ascii(text, end, flags) : text;
  const bytes = transform(text, <i32>(end - text), step);
  if (bytes < 0) return text;
  if (flags & HOST_STRIP && is_space(text, end)) keeps_front = false;
  const out = room(next_buffer(), <u64>bytes);
  take(out);
  normal_end = out + <usize>bytes;
  return out;
}

/** BertNormalizer: control characters are left out, white space is a space, letters are lower case. */
function bert_ascii(at: usize, end: usize, flags: u32): usize {
  const out = room(next_buffer(), <u64>(end - at));
  const lower: u32 = flags & HOST_LOWER ? 0x20 : 0;
  let to = out;
  for (; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte - 0x20 < 0x5f || !(flags & HOST_CLEAN)) store<u8>(to++, byte | (byte - 0x41 < 26 ? lower : 0));
    else if (byte == 0x09 || byte == 0x0a || byte == 0x0d) store<u8>(to++, 0x20);
  }
  normal_end = to;
  return out;
}

/** The text with `content`, of one or more bytes, in place of two or more spaces. */
function replace_spaces(at: usize, end: usize, content: usize, bytes: usize): usize {
  const out = room(next_buffer(), <u64>(end - at) * <u64>max<usize>(bytes, 1));
  let to = out;
  while (at < end) {
    let stop = at;
    while (stop < end && load<u8>(stop) == 0x20) stop++;
    if (stop - at > 1) {
      memory.copy(to, content, bytes);
      to += bytes;
      at = stop;
    } else store<u8>(to++, load<u8>(at++));
  }
  normal_end = to;
  return out;
}

/** The address of the text as the vocabulary wants it, which is the text itself without steps; `normal_end` is its end. */
export function normalize(text: usize, end: usize): usize {
  normal_end = end;
  keeps_front = true;
  for (let part = parts; part < parts_end && text < normal_end; ) {
    const number = load<u32>(part);
    const bytes = <usize>load<u32>(part, 4);
    const content = part + 8;
    if (number == PART_HOST) text = host_step(text, normal_end, load<u32>(content), load<u32>(content, 4));
    else if (number == PART_SPACES) text = replace_spaces(text, normal_end, content, bytes);
    else if (number == PART_CHARSMAP) {
      const buffer = next_buffer();
      const length = map_characters(text, normal_end, buffer);
      text = load<usize>(buffer);
      normal_end = text + length;
    }
    part = content + ((bytes + 3) & ~3);
  }
  return text;
}
