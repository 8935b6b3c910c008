/** The rows of a labelled table by doubt: those first whose labels are worth most to a next training. */
import { concat } from "../../concat.ts";
import { normalize } from "../../data/duplicates.ts";
import { joinPair, type TextOrPair } from "../../pair.ts";
import type { Table, TableRow } from "./table.ts";

/** A row with its further fields. */
export interface LabelledRow {
  row: TableRow;
  added: Uint8Array;
  /** How clear its label is, from 0; null: it has no text, and comes last. */
  margin: number | null;
}

/** Characters of an n-gram. */
const GRAM = 3;
/**
 * A text has HASHES minima of hashes of its n-grams (MinHash: Broder 1997), each equal to another text's with the
 * probability of the share of n-grams that they have in common. Texts are near-copies if all of a band are equal: with
 * half of the n-grams in common 4 of 10 are, with 7 of 10 in common 9 of 10, with a quarter 1 of 30.
 */
const [BANDS, BAND] = [8, 4];
const HASHES = BANDS * BAND;
/** Odd factors, one a hash. */
const FACTORS = Uint32Array.from({ length: HASHES }, (_, i) => Math.imul(2 * i + 1, 0x9e3779b1) | 1);

/** The hashes of a text's bands. Texts that differ in numbers, punctuation and case alone have the same. */
function hashBands(text: TextOrPair): Uint32Array {
  const characters = normalize(joinPair(text));
  const least = new Uint32Array(HASHES).fill(0xffffffff);
  for (let first = 0; first === 0 || first + GRAM <= characters.length; first++) {
    let gram = 0x811c9dc5;
    for (let i = first; i < first + GRAM; i++) gram = Math.imul(gram ^ (characters.charCodeAt(i) || 0), 0x01000193);
    gram = mix(gram);
    for (let i = 0; i < HASHES; i++) {
      const hash = Math.imul(gram, FACTORS[i]!) >>> 0;
      if (hash < least[i]!) least[i] = hash;
    }
  }
  return Uint32Array.from({ length: BANDS }, (_, band) =>
    least.subarray(BAND * band, BAND * (band + 1)).reduce((sum, hash) => mix(Math.imul(sum, 31) + hash), band),
  );
}

/** Murmur3's last step, after which every bit depends on every other. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * The places of rows in the order in which to label them: by their margins, the smallest first; but of near-copies one
 * comes with the rows that are none, a second behind all of these, and so on.
 */
export function orderByDoubt(rows: readonly { margin: number; text: TextOrPair }[]): number[] {
  const copies = new Map<number, number>();
  const byMargin = [...rows.keys()].sort((a, b) => rows[a]!.margin - rows[b]!.margin);
  const turns = new Uint32Array(rows.length);
  for (const i of byMargin) {
    const bands = hashBands(rows[i]!.text);
    const turn = bands.reduce((most, band) => Math.max(most, copies.get(band) ?? 0), 0);
    turns[i] = turn;
    for (const band of bands) copies.set(band, turn + 1);
  }
  return byMargin.sort((a, b) => turns[a]! - turns[b]!);
}

const [LF, CR, OPEN, LIST] = [10, 13, 123, 91];
const encode = (text: string) => new TextEncoder().encode(text);

/** The bytes of a table with its rows by doubt, each on a line of its own; rows without a text are last. */
export async function* tableByDoubt(
  { format }: Table,
  pieces: AsyncIterable<readonly LabelledRow[]>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const rows: { text: TextOrPair; margin: number; line: Uint8Array }[] = [];
  const last: Uint8Array[] = [];
  let [isList, end]: [boolean, Uint8Array | null] = [false, null];
  for await (const piece of pieces)
    for (const { row, added, margin } of piece) {
      const { bytes, at, text } = row;
      if (at < 0) continue;
      end ??= encode(bytes[at] === CR ? "\r\n" : "\n");
      if (text === null) {
        // The header, which stays where it is.
        yield concat(Uint8Array, [bytes.subarray(0, at), added, end]);
        continue;
      }
      const first = firstByte(format, bytes);
      isList ||= format === "jsonl" && bytes.subarray(0, first).includes(LIST);
      const close = bytes.subarray(at, format === "jsonl" ? at + 1 : at);
      const line = concat(Uint8Array, [bytes.subarray(first, at), added, close]);
      if (margin === null) last.push(line);
      else rows.push({ text, margin, line });
    }
  if (isList) yield encode("[\n");
  const lines = [...orderByDoubt(rows).map((i) => rows[i]!.line), ...last];
  for (const [i, line] of lines.entries()) {
    const isSeparated = isList && i + 1 < lines.length;
    yield concat(Uint8Array, [line, encode(isSeparated ? "," : ""), end!]);
  }
  if (isList) yield encode("]\n");
}

/** Where a row begins, behind blank lines, a byte order mark, or what separates the objects of a list. */
function firstByte(format: Table["format"], bytes: Uint8Array): number {
  if (format === "jsonl") return bytes.indexOf(OPEN);
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const first = bytes.subarray(marked).findIndex((byte) => byte !== LF && byte !== CR);
  return marked + Math.max(0, first);
}
