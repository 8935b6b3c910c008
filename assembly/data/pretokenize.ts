// The splitting patterns of byte-level BPEs as hand-written scanners over UTF-8 bytes, which are many times faster than
// a regular expression engine. GPT-2's:
//
//     '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// SmolLM2's: each \p{N} is a text of its own, and so is what lies between them; each is split by GPT-2's pattern.
// Llama 3's, and Qwen2's, which has \p{N} in place of \p{N}{1,3}:
//
//     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// White space is Unicode White_Space (with U+0085, without U+FEFF), as in tiktoken and unlike JavaScript's \s. A byte
// that is not part of well-formed UTF-8 is one character of class OTHER.

import { PATTERN_GPT_2, PATTERN_LLAMA_BPE, PATTERN_QWEN2, PATTERN_SMOLLM } from "./generated/numbers";
import { BYTE_CLASS, PAGE_COUNT, PAGE_INDEX, PAGES } from "./generated/unicode";

const OTHER: u32 = 0;
const LETTER: u32 = 1;
const NUMBER: u32 = 2;
const SPACE: u32 = 3;
const MULTIBYTE: u32 = 4;

/** The class of a code point: 0 other, 1 letter, 2 number, 3 white space. */
function code_point_class(point: u32): u32 {
  const page = point >> 8;
  if (page >= PAGE_COUNT) return OTHER;
  const words = PAGES + ((<usize>load<u8>(PAGE_INDEX + page)) << 6);
  return (load<u32>(words + ((<usize>(point & 0xff) >> 4) << 2)) >> ((point & 15) << 1)) & 3;
}

/** Whether the byte at `at` continues a character. */
function continues(at: usize): bool {
  return (load<u8>(at) & 0xc0) == 0x80;
}

/** The multibyte character at `at`: its class in the low two bits, its length in bytes above them. */
function multibyte_at(at: usize, end: usize): u32 {
  const lead = <u32>load<u8>(at);
  const room = end - at;
  if (lead < 0xe0) {
    if (lead < 0xc2 || room < 2 || !continues(at + 1)) return OTHER | (1 << 2);
    return code_point_class(((lead & 0x1f) << 6) | (load<u8>(at, 1) & 0x3f)) | (2 << 2);
  }
  if (lead < 0xf0) {
    if (room < 3 || !continues(at + 1) || !continues(at + 2)) return OTHER | (1 << 2);
    const point = ((lead & 0x0f) << 12) | ((<u32>(load<u8>(at, 1) & 0x3f)) << 6) | (load<u8>(at, 2) & 0x3f);
    if (point < 0x800 || point >> 11 == 0x1b) return OTHER | (1 << 2); // an overlong form, or a surrogate
    return code_point_class(point) | (3 << 2);
  }
  if (room < 4 || !continues(at + 1) || !continues(at + 2) || !continues(at + 3)) return OTHER | (1 << 2);
  const point =
    ((lead & 0x07) << 18) |
    ((<u32>(load<u8>(at, 1) & 0x3f)) << 12) |
    ((<u32>(load<u8>(at, 2) & 0x3f)) << 6) |
    (load<u8>(at, 3) & 0x3f);
  if (lead > 0xf4 || point < 0x10000 || point > 0x10ffff) return OTHER | (1 << 2);
  return code_point_class(point) | (4 << 2);
}

/** The character at `at`: its class in the low two bits, its length in bytes above them. */
export function character_at(at: usize, end: usize): u32 {
  const kind = <u32>load<u8>(BYTE_CLASS + load<u8>(at));
  return kind == MULTIBYTE ? multibyte_at(at, end) : kind | (1 << 2);
}

/** Whether the character at `at` is white space. */
export function is_space(at: usize, end: usize): bool {
  return (character_at(at, end) & 3) == SPACE;
}

/** The end of the run of characters of class `kind` at `at`. */
function run_end(at: usize, end: usize, kind: u32): usize {
  while (at < end) {
    const byte_kind = <u32>load<u8>(BYTE_CLASS + load<u8>(at));
    if (byte_kind == kind) {
      at++;
    } else if (byte_kind == MULTIBYTE) {
      const character = multibyte_at(at, end);
      if ((character & 3) != kind) break;
      at += character >> 2;
    } else {
      break;
    }
  }
  return at;
}

/** The length of the English contraction ('s 'd 'm 't 'll 've 're) at `at`, 0 if there is none. */
function ending_length(at: usize, end: usize): usize {
  if (end - at < 2) return 0;
  const first = load<u8>(at, 1);
  if (first == 0x73 || first == 0x64 || first == 0x6d || first == 0x74) return 2; // s d m t
  if (end - at < 3) return 0;
  const second = load<u8>(at, 2);
  if (first == 0x6c) return second == 0x6c ? 3 : 0; // ll
  if (first == 0x76 || first == 0x72) return second == 0x65 ? 3 : 0; // ve re
  return 0;
}

/** The end of the white space at `at`. If there are several characters, the last is left to the following word. */
function white_space_end(at: usize, end: usize, first_length: usize): usize {
  let last = at;
  let pos = at + first_length;
  while (pos < end) {
    const character = character_at(pos, end);
    if ((character & 3) != SPACE) return last == at ? pos : last;
    last = pos;
    pos += character >> 2;
  }
  return end;
}

/** The end of the piece of GPT-2's pattern that begins at `start` < `end`. */
function gpt2_piece_end(start: usize, end: usize): usize {
  const byte = load<u8>(start);
  if (byte == 0x27) {
    const length = ending_length(start, end);
    if (length != 0) return start + length;
  }
  let at = start;
  let character = character_at(at, end);
  if (byte == 0x20 && end - start > 1) {
    const next = character_at(start + 1, end);
    if ((next & 3) != SPACE) {
      at++;
      character = next;
    }
  }
  const kind = character & 3;
  if (kind == SPACE) return white_space_end(at, end, character >> 2);
  return run_end(at + (character >> 2), end, kind);
}

/**
 * The end of a piece of SmolLM2's pattern that is none of GPT-2's, or 0: one number, or the white space before one,
 * which ends a text there, and so is not shared with the number.
 */
function apart_end(start: usize, end: usize): usize {
  const character = character_at(start, end);
  const kind = character & 3;
  if (kind == NUMBER) return start + (character >> 2);
  if (kind != SPACE) return 0;
  const stop = run_end(start, end, SPACE);
  return stop < end && (character_at(stop, end) & 3) == NUMBER ? stop : 0;
}

/** `ending_length` in either case: a long s is an s without case, too. */
function any_case_ending_length(at: usize, end: usize): usize {
  if (end - at < 2) return 0;
  const first = load<u8>(at, 1) | 0x20;
  if (first == 0x73 || first == 0x64 || first == 0x6d || first == 0x74) return 2; // s d m t
  if (end - at < 3) return 0;
  if (load<u16>(at, 1) == 0xbfc5) return 3; // U+017F in UTF-8
  const second = load<u8>(at, 2) | 0x20;
  if (first == 0x6c) return second == 0x6c ? 3 : 0; // ll
  if (first == 0x76 || first == 0x72) return second == 0x65 ? 3 : 0; // ve re
  return 0;
}

/** Whether the byte at `at` ends a line. */
function is_line_end(at: usize): bool {
  const byte = load<u8>(at);
  return byte == 0x0a || byte == 0x0d;
}

/** The end of up to `most` numbers at `at`. */
function numbers_end(at: usize, end: usize, most: u32): usize {
  for (let i: u32 = 0; i < most && at < end; i++) {
    const character = character_at(at, end);
    if ((character & 3) != NUMBER) break;
    at += character >> 2;
  }
  return at;
}

/** The end of the white space at `at`: behind its last line end, or as in GPT-2's pattern if it has none. */
function lines_end(at: usize, end: usize, first_length: usize): usize {
  for (let stop = run_end(at, end, SPACE); stop > at; stop--) if (is_line_end(stop - 1)) return stop;
  return white_space_end(at, end, first_length);
}

/** The end of the piece of Llama 3's pattern, with up to `numbers` numbers, that begins at `start` < `end`. */
function llama_piece_end(start: usize, end: usize, numbers: u32): usize {
  const character = character_at(start, end);
  const kind = character & 3;
  const length = <usize>(character >> 2);
  if (kind == LETTER) return run_end(start + length, end, LETTER);
  if (kind == NUMBER) return numbers_end(start, end, numbers);
  if (load<u8>(start) == 0x27) {
    const ending = any_case_ending_length(start, end);
    if (ending != 0) return start + ending;
  }
  const next = start + length;
  const next_kind = next < end ? character_at(next, end) & 3 : SPACE;
  if (next_kind == LETTER && !is_line_end(start)) return run_end(next, end, LETTER);
  if (kind == OTHER || (load<u8>(start) == 0x20 && next_kind == OTHER)) {
    let stop = run_end(next, end, OTHER);
    while (stop < end && is_line_end(stop)) stop++;
    return stop;
  }
  return lines_end(start, end, length);
}

let pattern: u32 = PATTERN_GPT_2;

/** Chooses the pattern by its number; returns whether there is such a one. */
export function choose_pattern(number: u32): bool {
  pattern = number;
  return number <= PATTERN_QWEN2;
}

/** The end of the piece that begins at `start` < `end`. */
export function piece_end(start: usize, end: usize): usize {
  if (pattern >= PATTERN_LLAMA_BPE) return llama_piece_end(start, end, pattern == PATTERN_LLAMA_BPE ? 3 : 1);
  if (pattern == PATTERN_SMOLLM) {
    const stop = apart_end(start, end);
    if (stop != 0) return stop;
  }
  return gpt2_piece_end(start, end);
}
