// The parts of a vocabulary (vocabulary.ts), loaded: what its kind needs, and how much longer its normalizer makes texts.

import { load_classes } from "./characters";
import { load_charsmap } from "./charsmap";
import {
  KIND_BPE,
  KIND_UNIGRAM,
  PART_CHARSMAP,
  PART_CLASSES,
  PART_HOST,
  PART_METASPACE,
  PART_SCORES,
  PART_SPACES,
  PART_WORDPIECE,
} from "./generated/numbers";
import { build_trie } from "./trie";
import { load_metaspace, load_scores } from "./unigram";
import { byte_id, kind, NO_ID, parts, parts_end } from "./vocabulary";
import { load_wordpiece } from "./wordpiece";

/** The most ids for each byte of a text, and beside them. */
let growth: u64 = 1;
let more: u64 = 2;

/** The bytes of a part, filled up, with its header. */
function part_bytes(part: usize): usize {
  return 8 + ((<usize>load<u32>(part, 4) + 3) & ~3);
}

/** Loads the parts of a vocabulary that is loaded; false if they are damaged. */
export function load_parts(): bool {
  let by_bytes = kind == KIND_BPE;
  for (let byte: u32 = 0; byte < 256; byte++) if (byte_id(<u8>byte) != NO_ID) by_bytes = true;
  for (let part = parts; part < parts_end; part += part_bytes(part)) {
    const number = load<u32>(part);
    const bytes = <usize>load<u32>(part, 4);
    const at = part + 8;
    if (parts_end - part < 8 || part_bytes(part) > parts_end - part) return false;
    if (number == PART_CLASSES && !load_classes(at, bytes)) return false;
    if (number == PART_CHARSMAP) growth *= <u64>load_charsmap(at, bytes, by_bytes);
    else if (number == PART_HOST) {
      growth *= <u64>load<u32>(at, 8);
      more += <u64>load<u32>(at, 12);
    } else if (number == PART_SPACES) growth *= <u64>max<usize>(bytes, 1);
    else if (number == PART_METASPACE) load_metaspace(at, bytes);
    else if (number == PART_SCORES) {
      load_scores(at, bytes);
      if (!build_trie(<u32>(bytes >> 3))) return false;
    } else if (number == PART_WORDPIECE) {
      if (!build_trie(load<u32>(at, 4))) return false;
      load_wordpiece(at, bytes);
    }
    if (growth == 0 || growth > 1024) return false;
  }
  // A letter for the space is before each word, behind each added token: up to four bytes, where these have ids.
  if (kind == KIND_UNIGRAM) {
    growth += by_bytes ? 4 : 1;
    more += 4;
  }
  return true;
}

/** The most ids of a text of `length` bytes, with those before and behind it. */
export function most_ids(length: i32): i32 {
  return <i32>min<u64>(<u64>length * growth + more, i32.MAX_VALUE >> 2);
}
