// The added tokens of a vocabulary, found in a text before it is split into words, as the library `tokenizers` does it:
// first those that are not `normalized`, then the others in what is left; of several at one place the longest.

import { TOKEN_LSTRIP, TOKEN_NORMALIZED, TOKEN_RSTRIP, TOKEN_SINGLE_WORD, TOKEN_SPECIAL } from "./generated/numbers";
import { load_parts } from "./parts";
import { character_at, is_space } from "./pretokenize";
import { added_count, added_tokens, load_tables, token_at, token_length } from "./vocabulary";
import { prepare_words } from "./words";

/** Imported from the host as added.is_word: whether a code point is part of a word (\w of Unicode). */
declare function is_word(point: u32): bool;

/** How many passes there are over a text; before the second it is normalized. */
export const PASSES: u32 = 2;
export const NORMALIZED_PASS: u32 = 1;
/** The first token of each pass and first byte, as u32. Tokens are sorted by pass, first byte and descending length. */
const firsts: usize = memory.data((2 * 256 + 1) * 4, 4);
/** Whether a token is not special, and so is found in every text. */
let some_plain: bool = false;

/**
 * The token found last: where it begins and ends, including the white space that it takes, and where the search
 * continues.
 */
export let found_from: usize = 0;
export let found_end: usize = 0;
export let found_next: usize = 0;

/** Loads the tables as `load_tables` does and prepares what is looked for in them. */
export function load_vocabulary(ptr: usize, length: i32): i32 {
  const ids = load_tables(ptr, length);
  if (ids < 0 || !load_parts()) return -1;
  prepare_words();
  let key: usize = 0;
  for (let i: u32 = 0; i <= added_count; i++) {
    let own: usize = 2 * 256;
    if (i < added_count) {
      const token = added_tokens + ((<usize>i) << 3);
      const flags = load<u32>(token, 4);
      own = (flags & TOKEN_NORMALIZED ? 256 : 0) + <usize>load<u8>(token_at(load<u32>(token)));
      if (!(flags & TOKEN_SPECIAL)) some_plain = true;
    }
    for (; key <= own; key++) store<u32>(firsts + (key << 2), i);
  }
  return ids;
}

/** Whether tokens have to be found in a text, with or without the special ones. */
export function has_added(special: bool): bool {
  return some_plain || (special && added_count > 0);
}

/** The longest token of the pass at `at`: its address, or 0. */
function token_here(at: usize, end: usize, pass: u32): usize {
  const key = firsts + ((((<usize>pass) << 8) + <usize>load<u8>(at)) << 2);
  const stop = load<u32>(key, 4);
  for (let i = load<u32>(key); i < stop; i++) {
    const token = added_tokens + ((<usize>i) << 3);
    const id = load<u32>(token);
    const length = <usize>token_length(id);
    if (length <= end - at && memory.compare(at, token_at(id), length) == 0) return token;
  }
  return 0;
}

/** The code point of a character of `length` bytes. */
function point_at(at: usize, length: u32): u32 {
  if (length == 1) return load<u8>(at);
  let point = <u32>load<u8>(at) & (0x7f >> length);
  for (let i: u32 = 1; i < length; i++) point = (point << 6) | (load<u8>(at + i) & 0x3f);
  return point;
}

/** The start of the character that ends at `at` > `start`. */
function before(start: usize, at: usize): usize {
  let from = at - 1;
  while (from > start && at - from < 4 && (load<u8>(from) & 0xc0) == 0x80) from--;
  return from + (character_at(from, at) >> 2) == at ? from : at - 1;
}

/** Whether a character of a word is directly before `at` or behind `next`, in the text from `start` to `end`. */
function touches_word(start: usize, at: usize, next: usize, end: usize): bool {
  if (at > start) {
    const from = before(start, at);
    if (is_word(point_at(from, <u32>(at - from)))) return true;
  }
  return next < end && is_word(point_at(next, character_at(next, end) >> 2));
}

/**
 * Finds the next token of the pass at `at` or later in the text from `start` to `end`, of which everything before
 * `done` has been taken. Returns its id, with `found_from`, `found_end` and `found_next`; -1 if there is none.
 */
export function find_added(start: usize, done: usize, at: usize, end: usize, pass: u32, special: bool): i32 {
  while (at < end) {
    const token = token_here(at, end, pass);
    if (token == 0) {
      at++;
      continue;
    }
    const id = load<u32>(token);
    const flags = load<u32>(token, 4);
    const next = at + <usize>token_length(id);
    if ((flags & TOKEN_SPECIAL && !special) || (flags & TOKEN_SINGLE_WORD && touches_word(start, at, next, end))) {
      at = next;
      continue;
    }
    found_from = at;
    found_end = next;
    found_next = next;
    if (flags & TOKEN_LSTRIP)
      while (found_from > done && is_space(before(start, found_from), end)) found_from = before(start, found_from);
    if (flags & TOKEN_RSTRIP)
      while (found_end < end && is_space(found_end, end)) found_end += character_at(found_end, end) >> 2;
    return <i32>id;
  }
  return -1;
}
