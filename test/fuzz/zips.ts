/** Zip files whose structure is wrong: entries there twice, sizes and places that lie, paths that leave the folder. */
import { deflateSync } from "fflate";
import type { Rng } from "../../src/core/rng.ts";
import type { Files } from "./fuzz.ts";
import { mutateBytes, oneIn, pick } from "./mutate.ts";

/** A file: what is stored, and what its entry says of it. */
interface Entry {
  name: string;
  stored: Uint8Array;
  method: number;
  size: number;
  /** In place of its place, and of the bytes that are stored. */
  start?: number;
  length?: number;
  flags: number;
}

/** Zeros: more than a JSON file may have. */
const BOMB_BYTES = 40 << 20;
const BOMB = deflateSync(new Uint8Array(BOMB_BYTES), { level: 9 });
const SIZES = [0, 1, 10, 255, 65_536, BOMB_BYTES, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const PREFIXES = ["../", "/", "..\\", "a/../../", "C:\\", "./", "adapter/", "x/y/", "\0", "__proto__/", "é"];

function mutateEntries(rng: Rng, entries: Entry[]): void {
  const entry = pick(rng, entries);
  switch (rng.below(9)) {
    case 0:
      entries.splice(rng.below(entries.length + 1), 0, { ...entry });
      break;
    case 1:
      entries.push(...Array.from({ length: 100 }, (_, i) => ({ ...entry, name: oneIn(rng, 4) ? entry.name : `${i}` })));
      break;
    case 2:
      entry.size = oneIn(rng, 2) ? pick(rng, SIZES) : Math.max(0, entry.size + rng.below(9) - 4);
      break;
    case 3:
      entry.length = oneIn(rng, 2) ? pick(rng, SIZES) : Math.max(0, entry.stored.length + rng.below(9) - 4);
      break;
    case 4:
      entry.start = oneIn(rng, 2) ? pick(rng, SIZES) : rng.below(5000);
      break;
    case 5:
      entry.name = oneIn(rng, 3) ? pick(rng, entries).name : pick(rng, PREFIXES) + entry.name;
      break;
    case 6:
      [entry.method, entry.flags] = [pick(rng, [0, 8, 8, 9, 12, 99]), pick(rng, [0, 1, 8, 0x800, 0x801])];
      break;
    case 7:
      entry.stored = mutateBytes(rng, entry.stored);
      break;
    default:
      Object.assign(entry, { stored: BOMB, method: 8, size: oneIn(rng, 2) ? BOMB_BYTES : pick(rng, SIZES) });
  }
}

/** The records of a zip file, as bytes; two or four of each number. */
function record(signature: number, numbers: readonly (readonly [bytes: 2 | 4, value: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + numbers.reduce((sum, [length]) => sum + length, 0));
  bytes.writeUInt32LE(signature);
  let at = 4;
  for (const [length, value] of numbers) at = bytes.writeUIntLE(value % 2 ** (8 * length), at, length);
  return bytes;
}

/** A zip file of these files in a folder: whole in some cases, else with its structure or its bytes changed. */
export function wildZip(rng: Rng, files: Files, folder = ""): Uint8Array {
  const entries = [...files].map(([name, content]): Entry => {
    const bytes = Buffer.from(content as Uint8Array);
    const isDeflated = oneIn(rng, 2);
    const stored = isDeflated ? deflateSync(bytes) : bytes;
    return { name: folder + name, stored, method: isDeflated ? 8 : 0, size: bytes.length, flags: 0x800 };
  });
  for (let left = rng.below(3); left > 0; left--) mutateEntries(rng, entries);
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, stored, method, size, flags, start = at, length = stored.length } of entries) {
    const path = Buffer.from(name);
    const said = [...[flags, method, 0, 0].map((n) => [2, n] as const), [4, 0], [4, length], [4, size]] as const;
    const lengths = [
      [2, path.length],
      [2, 0],
    ] as const;
    parts.push(record(0x04034b50, [[2, 20], ...said, ...lengths]), path, Buffer.from(stored));
    const more = [
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, start],
    ] as const;
    directory.push(record(0x02014b50, [[2, 20], [2, 20], ...said, ...lengths, ...more]), path);
    at += 30 + path.length + stored.length;
  }
  const bytes = directory.reduce((sum, { length }) => sum + length, 0);
  const lie = (n: number) => (oneIn(rng, 40) ? pick(rng, SIZES) : n);
  const count = lie(entries.length);
  const end = [
    [2, 0],
    [2, 0],
    [2, count],
    [2, count],
    [4, lie(bytes)],
    [4, lie(at)],
    [2, 0],
  ] as const;
  const whole = Buffer.concat([...parts, ...directory, record(0x06054b50, end)]);
  return oneIn(rng, 4) ? mutateBytes(rng, whole) : Uint8Array.from(whole);
}
