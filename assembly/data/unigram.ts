// Unigram, SentencePiece's, as the library `tokenizers` has it: of all ways to make a text of tokens the one with the
// highest sum of log probabilities, found from left to right with the best way to each place. A character that no token
// makes is unknown, at less than any token; unknown ones in a row are one, or are made of tokens of bytes.
//
// Words begin with a letter for the space before them ("▁"), the first word, too: Metaspace.

import { point_bytes, read_point } from "./characters";
import { METASPACE_FIRST, METASPACE_NEVER, METASPACE_SPLITS, METASPACE_WORDS } from "./generated/numbers";
import { is_space } from "./pretokenize";
import { ROOM_HEADER, room } from "./room";
import { NO_TOKEN, next_node, ROOT, token_of } from "./trie";
import { byte_id, NO_ID, unknown_id } from "./vocabulary";
import { space_end } from "./wordpiece";

/** What an unknown character costs below the least likely token. */
const PENALTY: f64 = 10;
const NOWHERE: u32 = 0xffffffff;

let scores: usize = 0;
let unknown_score: f64 = 0;
/** The places of a text: {f64 score of the best way there, u32 where its last token begins, u32 id}. */
const places = memory.data(ROOM_HEADER);

/** Flags of METASPACE_, and the letter for a space. */
let flags: u32 = 0;
let letter: usize = 0;
let letter_bytes: usize = 0;
const word = memory.data(ROOM_HEADER);
/** Where the word of the last `metaspace` begins and ends. */
export let word_at: usize = 0;
export let word_end: usize = 0;

/** Loads the f64 scores of the tokens; a text with an unknown character has that of the least likely and less. */
export function load_scores(at: usize, bytes: usize): void {
  scores = at;
  let least = f64.MAX_VALUE;
  for (let i: usize = 0; i < bytes; i += 8) least = min(least, load<f64>(at + i));
  unknown_score = least - PENALTY;
}

/** Loads the settings {u32 flags, u8 letter}. */
export function load_metaspace(at: usize, bytes: usize): void {
  flags = load<u32>(at);
  letter = at + 4;
  letter_bytes = bytes - 4;
}

/**
 * Makes a word of the text at `at` < `end`, of all of it unless texts are divided at white space: `word_at`, with the
 * letter for each space and, where there should be one, before it. Returns where the text goes on.
 */
export function metaspace(at: usize, end: usize, is_first: bool): usize {
  word_at = 0;
  word_end = 0;
  let stop = end;
  if (flags & METASPACE_WORDS) {
    const start = at;
    at = space_end(at, end);
    if (at == end) return end;
    if (at > start) is_first = false;
    for (stop = at; stop < end && !is_space(stop, end); stop += point_bytes) read_point(stop);
    stop = min(stop, end);
  }
  word_at = room(word, <u64>(stop - at + 1) * <u64>letter_bytes);
  word_end = word_at;
  const has_letter =
    load<u8>(at) == 0x20 || (stop - at >= letter_bytes && memory.compare(at, letter, letter_bytes) == 0);
  if (!has_letter && !(flags & METASPACE_NEVER) && (is_first || !(flags & METASPACE_FIRST))) put_letter();
  for (; at < stop; at++) {
    const byte = load<u8>(at);
    if (byte == 0x20) put_letter();
    else store<u8>(word_end++, byte);
  }
  return stop;
}

function put_letter(): void {
  memory.copy(word_end, letter, letter_bytes);
  word_end += letter_bytes;
}

/** The end of the piece of the word that begins at `at`: before the next letter for a space, if words end there. */
export function metaspace_end(at: usize): usize {
  if (!(flags & METASPACE_SPLITS)) return word_end;
  const first = load<u8>(letter);
  for (at++; at + letter_bytes <= word_end; at++)
    if (load<u8>(at) == first && memory.compare(at, letter, letter_bytes) == 0) return at;
  return word_end;
}

/** The best way to `to` leads over the place `from`, if its score is higher. */
function lead(to: usize, from: u32, score: f64, id: u32): void {
  if (load<u32>(to, 8) != NOWHERE && load<f64>(to) >= score) return;
  store<f64>(to, score);
  store<u32>(to, from, 8);
  store<u32>(to, id, 12);
}

/** Writes the ids of the `length` bytes at `text` to `out`; returns their number. */
export function encode_unigram(text: usize, length: usize, out: usize, special: bool): usize {
  const ways = room(places, (<u64>length + 1) << 4);
  for (let i: usize = 0; i <= length; i++) store<u32>(ways + (i << 4), NOWHERE, 8);
  store<f64>(ways, 0);
  for (let from: usize = 0; from < length; ) {
    const score = load<f64>(ways + (from << 4));
    read_point(text + from);
    const next = min(from + point_bytes, length);
    let is_known = false;
    let node = ROOT;
    for (let at = from; at < length; ) {
      node = next_node(node, load<u8>(text + at++));
      if (node == 0) break;
      const id = token_of(node, special);
      if (id == NO_TOKEN) continue;
      lead(ways + (at << 4), <u32>from, score + load<f64>(scores + ((<usize>id) << 3)), id);
      if (at == next) is_known = true;
    }
    if (!is_known) lead(ways + (next << 4), <u32>from, score + unknown_score, unknown_id);
    from = next;
  }
  return follow(ways, text, length, out);
}

/** Writes the ids of the best way, from its end. */
function follow(ways: usize, text: usize, length: usize, out: usize): usize {
  let count: usize = 0;
  for (let end = length; end > 0; ) {
    let way = ways + (end << 4);
    const id = load<u32>(way, 12);
    let from = <usize>load<u32>(way, 8);
    if (id == unknown_id)
      for (; from > 0; from = <usize>load<u32>(way, 8)) {
        way = ways + (from << 4);
        if (load<u32>(way, 12) != unknown_id) break;
      }
    if (id != unknown_id || !put_bytes(text + from, text + end, out + (count << 2))) {
      store<u32>(out + (count++ << 2), id);
    } else count += end - from;
    end = from;
  }
  for (let i: usize = 0, j = count; i + 1 < j; i++) {
    j--;
    const at = out + (i << 2);
    const other = out + (j << 2);
    const id = load<u32>(at);
    store<u32>(at, load<u32>(other));
    store<u32>(other, id);
  }
  return count;
}

/** Writes the ids of bytes, the last first; false if one has none. */
function put_bytes(at: usize, end: usize, out: usize): bool {
  for (let i = at; i < end; i++) if (byte_id(load<u8>(i)) == NO_ID) return false;
  while (end > at) {
    store<u32>(out, byte_id(load<u8>(--end)));
    out += 4;
  }
  return true;
}
