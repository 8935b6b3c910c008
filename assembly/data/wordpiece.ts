// WordPiece, as the library `tokenizers` has it: a text is divided at white space and punctuation, and of each word the
// longest token at its beginning is taken, then the longest behind it with the prefix of what continues a word ("##"). A
// word that no tokens make, or that is too long, is one unknown token.

import { class_of, point_bytes, read_point } from "./characters";
import { CLASS_PUNCTUATION } from "./generated/numbers";
import { character_at, is_space } from "./pretokenize";
import { NO_TOKEN, next_node, ROOT, token_of, walk } from "./trie";
import { unknown_id } from "./vocabulary";

/** The most characters of a word, and the node behind the prefix; 0: no token continues a word. */
let most: u32 = 0;
let inner: u32 = 0;

/** Loads the settings {u32 most, u32 tokens, u8 prefix}, when the trie is there. */
export function load_wordpiece(at: usize, bytes: usize): void {
  most = load<u32>(at);
  inner = walk(ROOT, at + 8, bytes - 8);
}

/** The end of the white space at `at`. */
export function space_end(at: usize, end: usize): usize {
  while (at < end && is_space(at, end)) at += character_at(at, end) >> 2;
  return at;
}

/** Whether the character at `at` is punctuation: ASCII's, which is more than Unicode's, or of its class. */
function is_punctuation(at: usize): bool {
  const point = read_point(at);
  if (point >= 0x80) return (class_of(point) & CLASS_PUNCTUATION) != 0;
  return point - 0x21 < 15 || point - 0x3a < 7 || point - 0x5b < 6 || point - 0x7b < 4;
}

/** The end of the word, or of the one punctuation character, at `at` < `end`, which is no white space. */
export function bert_end(at: usize, end: usize): usize {
  const start = at;
  while (at < end) {
    if (is_punctuation(at)) return at == start ? min(at + point_bytes, end) : at;
    if (is_space(at, end)) return at;
    at += point_bytes;
  }
  return end;
}

/** Writes the ids of the word of `length` bytes at `text` to `out`; returns their number. */
export function encode_wordpiece(text: usize, length: usize, out: usize): usize {
  let characters: u32 = 0;
  for (let i: usize = 0; i < length; i++) characters += u32((load<u8>(text + i) & 0xc0) != 0x80);
  let count: usize = 0;
  let done: usize = 0;
  while (done < length && characters <= most) {
    let node = done == 0 ? ROOT : inner;
    let id = NO_TOKEN;
    let stop = done;
    for (let i = done; i < length && node != 0; ) {
      node = next_node(node, load<u8>(text + i++));
      const here = node == 0 ? NO_TOKEN : token_of(node, true);
      if (here == NO_TOKEN) continue;
      id = here;
      stop = i;
    }
    if (id == NO_TOKEN) break;
    store<u32>(out + (count++ << 2), id);
    done = stop;
  }
  if (done == length) return count;
  store<u32>(out, unknown_id);
  return 1;
}
