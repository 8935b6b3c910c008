// Text to ids: added tokens are found, what is between them is normalized and divided into pieces, and each piece is
// encoded by the vocabulary's kind. Frequent pieces come from a cache.

import { find_added, found_end, found_from, found_next, has_added, NORMALIZED_PASS, PASSES } from "./added";
import { encode_bpe } from "./bpe";
import { KIND_BPE, KIND_UNIGRAM, KIND_WORDPIECE, MODE_BEGIN, MODE_CLOSE, MODE_SPECIAL } from "./generated/numbers";
import { keeps_front, normal_end, normalize } from "./normalize";
import { piece_end } from "./pretokenize";
import { encode_unigram, metaspace, metaspace_end, word_at, word_end } from "./unigram";
import { begin_of_text, closing_ids, end_of_text, id_shift, kind, NO_ID } from "./vocabulary";
import { bert_end, encode_wordpiece, space_end } from "./wordpiece";

/**
 * The cache: slots of 32 bytes, {u64 low, u64 high (the piece, padded with zeros), u8 bytes, u8 ids, u16 id[7]}. A slot
 * holds the last piece with its hash; bytes = 0: empty. Of a vocabulary with more than 65,536 ids it has u32 id[3] at
 * the slot's end.
 */
const CACHE_SLOT_BITS: u64 = 15;
const CACHED_BYTES: usize = 16;
let cache: usize = 0;
let cached_bytes: usize = CACHED_BYTES;

/** Whether special tokens are found in the text, and where it begins: as it is, and normalized. */
let takes_special: bool = false;
let text_at: usize = 0;
let first_at: usize = 0;

/** Reads up to 8 bytes at `from` as a little-endian number. */
function load_few(from: usize, length: usize): u64 {
  let value: u64 = 0;
  for (let i: usize = 0; i < length; i++) value |= (<u64>load<u8>(from + i)) << (i << 3);
  return value;
}

/** Writes the ids of the piece of `length` > 0 bytes at `text` to `out`; returns their number. */
function encode_piece(text: usize, length: usize, out: usize): usize {
  if (kind == KIND_BPE) return encode_bpe(text, length, out);
  return kind == KIND_WORDPIECE
    ? encode_wordpiece(text, length, out)
    : encode_unigram(text, length, out, takes_special);
}

/** Encodes a piece of 1 to CACHED_BYTES bytes with the cache; memory before `end` may be read. */
function encode_cached(text: usize, length: usize, end: usize, out: usize): usize {
  let low: u64;
  let high: u64 = 0;
  if (end - text >= CACHED_BYTES) {
    low = load<u64>(text);
    if (length > 8) high = load<u64>(text, 8) & (u64.MAX_VALUE >> <u64>((16 - length) << 3));
    else low &= u64.MAX_VALUE >> <u64>((8 - length) << 3);
  } else {
    low = load_few(text, min<usize>(length, 8));
    if (length > 8) high = load_few(text + 8, length - 8);
  }
  const mixed = (low ^ (high * 0x9e3779b97f4a7c15) ^ <u64>length) * 0xd6e8feb86659fd93;
  const slot = cache + ((<usize>((mixed ^ (mixed << 29)) >> (64 - CACHE_SLOT_BITS))) << 5);
  if (load<u64>(slot) == low && load<u64>(slot, 8) == high && load<u8>(slot, 16) == <u8>length) {
    const count = <usize>load<u8>(slot, 17);
    if (id_shift() == 2) memory.copy(out, slot + 20, count << 2);
    else for (let i: usize = 0; i < count; i++) store<u32>(out + (i << 2), load<u16>(slot + (i << 1), 18));
    return count;
  }
  const count = encode_piece(text, length, out);
  if (count <= (id_shift() == 1 ? 7 : 3)) {
    store<u64>(slot, low);
    store<u64>(slot, high, 8);
    store<u8>(slot, <u8>length, 16);
    store<u8>(slot, <u8>count, 17);
    if (id_shift() == 2) memory.copy(slot + 20, out, count << 2);
    else for (let i: usize = 0; i < count; i++) store<u16>(slot + (i << 1), <u16>load<u32>(out + (i << 2)), 18);
  }
  return count;
}

/** Encodes the piece from `at` to `stop` in a text that ends at `end`; returns the end of the ids at `to`. */
function encode_one(at: usize, stop: usize, end: usize, to: usize): usize {
  const bytes = stop - at;
  return to + ((bytes <= cached_bytes ? encode_cached(at, bytes, end, to) : encode_piece(at, bytes, to)) << 2);
}

/** Encodes the text from `at` to `end`, in which no added tokens are looked for; returns the end of the ids at `to`. */
function encode_words(at: usize, end: usize, to: usize): usize {
  while (at < end) {
    let stop: usize;
    if (kind == KIND_BPE) {
      stop = piece_end(at, end);
      to = encode_one(at, stop, end, to);
    } else if (kind == KIND_WORDPIECE) {
      at = space_end(at, end);
      if (at == end) break;
      stop = bert_end(at, end);
      to = encode_one(at, stop, end, to);
    } else {
      stop = metaspace(at, end, at == first_at);
      for (let piece = word_at; piece < word_end; ) {
        const next = metaspace_end(piece);
        to = encode_one(piece, next, word_end, to);
        piece = next;
      }
    }
    at = stop;
  }
  return to;
}

/** `normalize`, which says where the text begins, if it begins there as it was given. */
function normalize_from(start: usize, end: usize): usize {
  const normal = normalize(start, end);
  first_at = start == text_at && keeps_front ? normal : 0;
  return normal;
}

/** `encode_words` with added tokens: those of `pass` and, between them, of the later passes, which find them normalized. */
function encode_added(start: usize, end: usize, to: usize, pass: u32, special: bool): usize {
  if (pass == PASSES) return encode_words(start, end, to);
  if (pass == NORMALIZED_PASS) {
    start = normalize_from(start, end);
    end = normal_end;
  }
  let done = start;
  let at = start;
  while (at < end) {
    const id = find_added(start, done, at, end, pass, special);
    if (id < 0) break;
    const stop = found_end;
    at = found_next;
    if (done < found_from) to = encode_added(done, found_from, to, pass + 1, special);
    store<u32>(to, id);
    to += 4;
    done = stop;
  }
  return done < end ? encode_added(done, end, to, pass + 1, special) : to;
}

/**
 * Encodes the `length` UTF-8 bytes at `text`. Writes u32 ids to `out`, which has space for `most_ids(length)`; returns
 * their number. Special tokens are encoded like any other text unless the flag MODE_SPECIAL is set, and invalid UTF-8
 * byte by byte. With MODE_BEGIN the vocabulary's token before every text, if it has one, is the first; with MODE_CLOSE
 * the one behind every text is the last. Call `load_tables` first.
 */
export function encode(text: usize, length: i32, out: usize, mode: u32): i32 {
  if (cache == 0) {
    const bytes = (<usize>1) << (<usize>(CACHE_SLOT_BITS + 5));
    cache = heap.alloc(bytes);
    memory.fill(cache, 0, bytes);
  }
  let to = out;
  if (mode & MODE_BEGIN && begin_of_text() != NO_ID) {
    store<u32>(to, begin_of_text());
    to += 4;
  }
  takes_special = (mode & MODE_SPECIAL) != 0;
  // What is cached was found without special tokens, which are pieces of Unigram, too.
  cached_bytes = takes_special && kind == KIND_UNIGRAM ? 0 : CACHED_BYTES;
  text_at = text;
  const end = text + <usize>length;
  if (has_added(takes_special)) to = encode_added(text, end, to, 0, takes_special);
  else to = encode_words(normalize_from(text, end), normal_end, to);
  if (mode & MODE_CLOSE && closing_ids > 0) {
    store<u32>(to, end_of_text());
    to += 4;
  }
  return <i32>((to - out) >> 2);
}
