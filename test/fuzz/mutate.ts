/** Mutations that every kind shares: of bytes, and of JSON as it is written (keys twice, numbers of any length). */
import type { Rng } from "../../src/core/rng.ts";

export function pick<T>(rng: Rng, list: readonly T[]): T {
  return list[rng.below(list.length)]!;
}

/** The words of a text. */
export function split(text: string): string[] {
  return text.split(" ");
}

/** True once in `n` times. */
export function oneIn(rng: Rng, n: number): boolean {
  return rng.below(n) === 0;
}

const utf8 = new TextEncoder();
/** Bytes that mean something to some reader. */
const MARKS = ["\0", '"', "\\", ",", "\t", "\n", "\r", "{", "}", "[", "]", ":", "0", "-", "\ufeff", "\u2028", "\ud800"];
const WILD = split("ff fffe c080 eda080 f490 efbb 80 7f 1b").map((hex) => Uint8Array.from(Buffer.from(hex, "hex")));

/** Bytes with one change: bits, bytes, runs, the end. */
export function mutateBytes(rng: Rng, bytes: Uint8Array): Uint8Array {
  const at = rng.below(bytes.length + 1);
  const run = Math.min(bytes.length - at, 1 + rng.below(oneIn(rng, 3) ? 64 : 4));
  const replace = (by: Uint8Array, length = 0) =>
    new Uint8Array([...bytes.subarray(0, at), ...by, ...bytes.subarray(at + length)]);
  switch (rng.below(7)) {
    case 0: {
      const flipped = Uint8Array.from(bytes);
      if (at < bytes.length) flipped[at]! ^= 1 << rng.below(8);
      return flipped;
    }
    case 1:
      return replace(oneIn(rng, 2) ? utf8.encode(pick(rng, MARKS)) : pick(rng, WILD), rng.below(2));
    case 2:
      return replace(
        Uint8Array.from({ length: run }, () => rng.below(256)),
        run,
      );
    case 3:
      return replace(new Uint8Array(0), run);
    case 4:
      return replace(bytes.subarray(at, at + run)); // twice
    case 5:
      return bytes.slice(0, at);
    default:
      return replace(bytes.slice(rng.below(bytes.length + 1)).subarray(0, 200));
  }
}

/** JSON as written: texts and numbers raw, an object's keys (also raw) with their values; a list has empty keys. */
export type Tree = string | Branch;
export interface Branch {
  isList: boolean;
  entries: Entry[];
}
export type Entry = [key: string, value: Tree];

/** Cuts what is deeper than any reader accepts: trees are walked recursively. */
export function toTree(value: unknown, depth = 0): Tree {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (depth > 100) return "0";
  const isList = Array.isArray(value);
  const entries = Object.entries(value).map(
    ([key, one]): Entry => [isList ? "" : JSON.stringify(key), toTree(one, depth + 1)],
  );
  return { isList, entries };
}

export function treeText(tree: Tree): string {
  if (typeof tree === "string") return tree;
  const { isList, entries } = tree;
  return isList
    ? `[${entries.map(([, value]) => treeText(value)).join(",")}]`
    : `{${entries.map(([key, value]) => `${key || '""'}:${treeText(value)}`).join(",")}}`;
}

const SCALARS = [
  ...["null", "true", "false", "{}", "[]", '""', "[[]]", '{"a":{}}', "[null]", '[""]', "[0]", '["a","b"]'],
  // What is no text and no number for JavaScript.
  '{"toString":1,"valueOf":1}',
  '{"__proto__":{"length":1}}',
];
const NUMBERS = [
  ...["0", "-0", "1", "-1", "2", "3", "1.5", "0.1", "1e-320", "1e308", "1e400", "-1e400", "1E2", "7.0", "12"],
  ...["127", "255", "256", "1024", "65536", "1000000", "2147483647", "2147483648", "4294967295", "4294967296"],
  ...["9007199254740991", "9007199254740992", "9007199254740993", "18446744073709551615", "18446744073709551616"],
  ...[`1${"0".repeat(400)}`, "3.0000000000000000000001", "-9223372036854775808"],
];
const TEXTS = [
  ...["", " ", "\0", "\u001b]0;x\u0007", "\u202e", "\u2028", "\ud800", "\ufeff", "e\u0301", "a\nb"],
  ...split("a A . .. / ../../x \\ __proto__ constructor toString hasOwnProperty length 0 1 -1 1e3 null NaN é 🙂"),
  ...["x".repeat(600), "y".repeat(30_000), "\u001b".repeat(700), "語".repeat(900), "(".repeat(500)],
  // Patterns that take for ever, are Python's, or are none.
  ...split("(([a-z0-9._]+)+)+! .*.*.*.*.*.*.*.*.*! (a|a)*$ (.*)*\\1 (?i)C_ATTN (?P<a>x) \\Z (?<!x)c_attn"),
  ...split("( [ * a{1000000} (a{1000}){1000} [^.]* .* \\d+ ^$ $ (?:)"),
];

/** Values by their kinds, with words that every object knows. */
const OF_KIND = {
  text: ["x", "", "0", "true", "constructor", "toString", "__proto__", "hasOwnProperty"],
  number: [0, 1, 3, -1, 0.5, 1e300],
  boolean: [true, false],
  list: [[], ["x"], [0], [null], [[]], [{}], ["constructor"]],
  object: [{}, { a: 1 }, { toString: 1, valueOf: 1 }, { constructor: null }, JSON.parse('{"__proto__":{"a":1}}')],
};
/** A kind, or several; a word is a text of which only few are known. */
export type ValueKind = keyof typeof OF_KIND | "word";

/** A value of another kind than these, which a reader must refuse. */
export function otherKind(rng: Rng, kinds: readonly ValueKind[]): unknown {
  const others = (Object.keys(OF_KIND) as (keyof typeof OF_KIND)[]).filter((kind) => !kinds.includes(kind));
  return pick<unknown>(rng, OF_KIND[pick(rng, others)]);
}

/** Keys and texts of one kind of file, which its mutations use beside the usual ones. */
export interface Words {
  keys?: readonly string[];
  values?: readonly unknown[];
}

/** A value that a reader may not expect, or would rather not have. */
export function hostile(rng: Rng, { keys = [], values = [] }: Words = {}): Tree {
  switch (rng.below(values.length > 0 ? 8 : 6)) {
    case 0:
      return pick(rng, SCALARS);
    case 1:
    case 2:
      return pick(rng, NUMBERS);
    case 3:
      return JSON.stringify(pick(rng, TEXTS));
    case 4:
      return JSON.stringify(pick(rng, keys.length > 0 ? keys : TEXTS));
    case 5:
      if (oneIn(rng, 3)) return nested(pick(rng, [10, 62, 63, 64, 65, 200, 20_000]), oneIn(rng, 2));
      return toTree(Array.from({ length: 1 + rng.below(4) }, () => pick(rng, TEXTS)));
    default:
      return toTree(pick(rng, values));
  }
}

function nested(depth: number, inObjects: boolean): string {
  return inObjects ? `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}` : "[".repeat(depth) + "]".repeat(depth);
}

/** A place in a tree: an entry of a list or an object. */
interface Slot {
  entries: Entry[];
  at: number;
}

function listSlots(tree: Tree): Slot[] {
  if (typeof tree === "string") return [];
  const { entries } = tree;
  return entries.flatMap(([, value], at) => [{ entries, at }, ...listSlots(value)]);
}

/** Changes one place of a tree: its key, its value, whether it is there, how often. Returns the tree. */
export function mutateTree(rng: Rng, tree: Tree, words: Words = {}): Tree {
  const slots = listSlots(tree);
  if (slots.length === 0) return hostile(rng, words);
  const { entries, at } = pick(rng, slots);
  const slot = entries[at]!;
  const from = pick(rng, slots);
  const other = from.entries[from.at]!;
  const newKey = () => JSON.stringify(pick(rng, words.keys && !oneIn(rng, 4) ? words.keys : TEXTS));
  const changes: (() => unknown)[] = [
    () => entries.splice(at, 1),
    // Twice.
    () => entries.splice(at, 0, [slot[0], oneIn(rng, 2) ? copy(slot[1]) : hostile(rng, words)]),
    () => (slot[1] = copy(other[1])),
    () => ([slot[1], other[1]] = [copy(other[1]), copy(slot[1])]),
    () => (slot[0] = oneIn(rng, 2) ? newKey() : other[0]),
    () => entries.splice(at, 0, [newKey(), hostile(rng, words)]),
    () => (slot[1] = { isList: oneIn(rng, 2), entries: [[newKey(), copy(slot[1])]] }),
    () => (slot[1] = tweak(rng, slot[1])),
    () => (slot[1] = tweak(rng, slot[1])),
    () => (slot[1] = hostile(rng, words)),
  ];
  pick(rng, changes)();
  return tree;
}

const copy = (tree: Tree): Tree => structuredClone(tree);

/** A value near to what it was: a number one off, a text with more or less, a list in another order. */
function tweak(rng: Rng, value: Tree): Tree {
  if (typeof value !== "string")
    return { ...value, entries: rng.shuffle([...value.entries, ...(oneIn(rng, 2) ? value.entries : [])]) };
  if (value.startsWith('"')) {
    const text = safeText(value);
    const [shorter, doubled] = [[text.slice(1), text.slice(0, -1)], text + text];
    const changed = [...shorter, doubled, text.toUpperCase(), `${text}.`, ` ${text}`, `.*${text}`];
    return JSON.stringify(pick(rng, changed));
  }
  const number = Number(value);
  if (!Number.isFinite(number)) return value === "true" ? "false" : "1";
  return JSON.stringify(
    pick(rng, [number + 1, number - 1, -number, number * 2, number / 2, number * 4, number + 0.5, 0]),
  );
}

function safeText(raw: string): string {
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw;
  }
}

/** JSON with some places changed, now and then also how it is written. */
export function mutateJson(rng: Rng, value: unknown, words: Words = {}): Uint8Array {
  let tree = toTree(value);
  // Some cases change only the bytes.
  if (!oneIn(rng, 8)) for (let left = 1 + rng.below(3); left > 0; left--) tree = mutateTree(rng, tree, words);
  return writtenOddly(rng, treeText(tree));
}

/** A text as bytes, once in four times not as usual. */
export function writtenOddly(rng: Rng, text: string): Uint8Array {
  if (!oneIn(rng, 4)) return utf8.encode(text);
  switch (rng.below(6)) {
    case 0:
      return utf8.encode(`\ufeff${text}`);
    case 1:
      return utf8.encode(` \n\t${text}\r\n${pick(rng, ["", "\0", "x", "{}", " ".repeat(5000)])}`);
    case 2:
      return utf8.encode(text.replace(/\b\d+\b/, () => pick(rng, split("NaN Infinity 01 1. .5 +1 0x10 1_0"))));
    case 3:
      return new Uint8Array(Buffer.from(text, "utf16le"));
    case 4:
      return new Uint8Array(Buffer.from(text, "latin1"));
    default:
      return mutateBytes(rng, utf8.encode(text));
  }
}
