/** safetensors files changed where they can be wrong: tensors, the header's entries, its length, bytes. */
import type { Rng } from "../../src/core/rng.ts";
import {
  type Entry,
  mutateBytes,
  mutateTree,
  oneIn,
  pick,
  split,
  type Tree,
  toTree,
  treeText,
  writtenOddly,
} from "./mutate.ts";

interface Tensor {
  name: string;
  dtype: string;
  shape: number[];
  data: Uint8Array;
}

export interface Contents {
  tensors: Tensor[];
  metadata: Record<string, string> | undefined;
}

/** Bytes of an element of every type that the format has, and of some that newer files have. */
const BYTES: Record<string, number> = {
  ...{ BOOL: 1, U8: 1, I8: 1, F8_E5M2: 1, F8_E4M3: 1, F8_E8M0: 1, I16: 2, U16: 2, F16: 2, BF16: 2 },
  ...{ I32: 4, U32: 4, F32: 4, F64: 8, I64: 8, U64: 8, C64: 8, F4: 1 },
};
const DTYPES = Object.keys(BYTES);

/** Floats that are none, or nearly: NaN, both infinities, -0, the smallest, the largest. */
const FLOATS = [0x7fc00000, 0xffffffff, 0x7f800000, 0xff800000, 0x80000000, 0x00000001, 0x7f7fffff];

/** Values for `dtype`, `shape` and `data_offsets`, and names of the models' tensors. */
const WORDS = {
  keys: split("dtype shape data_offsets __metadata__ format wte.weight h.0.ln_1.weight lora.h.0.attn.q.A"),
  values: [
    ...[...DTYPES, "f32", "F128", [0], [], [1], [-1], [0, 0], [4, 4], [1, 1, 1, 1]],
    ...["2", [2 ** 32, 2 ** 32], [0, 2 ** 53]],
  ],
};

/** The header of a valid file as JSON, and where the data begins. */
function splitHeader(file: Uint8Array): { header: Record<string, unknown>; dataStart: number } {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  return { header: JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))), dataStart: 8 + length };
}

/** The tensors of a valid file. */
function fileContents(file: Uint8Array): Contents {
  const { header, dataStart } = splitHeader(file);
  const { __metadata__: metadata, ...entries } = header as Record<string, Record<string, unknown>>;
  const tensors = Object.entries(entries).map(([name, { dtype, shape, data_offsets }]) => {
    const [begin, end] = data_offsets as [number, number];
    const data = file.slice(dataStart + begin, dataStart + end);
    return { name, dtype: dtype as string, shape: shape as number[], data };
  });
  return { tensors, metadata: metadata as Record<string, string> | undefined };
}

/** A changed copy of a valid file: most are broken in one place, some are good in another way. */
export function mutateSafetensors(rng: Rng, file: Uint8Array): Uint8Array {
  const contents = fileContents(file);
  if (oneIn(rng, 2)) for (let left = 1 + rng.below(2); left > 0; left--) changeTensors(rng, contents.tensors);
  let bytes = written(rng, contents);
  if (oneIn(rng, 4)) for (let left = 1 + rng.below(3); left > 0; left--) bytes = mutateBytes(rng, bytes);
  return bytes;
}

/** A change after which the file is whole, whatever a model says to it. */
function changeTensors(rng: Rng, tensors: Tensor[]): void {
  if (tensors.length === 0) return;
  const at = rng.below(tensors.length);
  const one = tensors[at]!;
  const other = pick(rng, tensors);
  const names = ["extra", `${one.name}.weight`, `transformer.${one.name}`, "", "__proto__", "0"];
  const sizes = [[], [one.data.length / 4], [1, ...one.shape], [...one.shape, 1]];
  pick<() => unknown>(rng, [
    () => (oneIn(rng, 3) ? tensors.splice(at, 1) : tensors.splice(at, 0, { ...one, name: pick(rng, names) })),
    () => ([one.name, other.name] = [other.name, one.name]),
    () => (one.shape = oneIn(rng, 2) ? [...one.shape].reverse() : pick(rng, sizes)),
    () => Object.assign(one, { shape: pick(rng, [[0], [0, ...one.shape], [1e9, 0]]), data: new Uint8Array(0) }),
    () => convert(rng, one),
    () => setValue(rng, one),
    () => setValue(rng, one),
    () => rng.shuffle(tensors),
    () => (one.data = mutateBytes(rng, one.data)),
  ])();
}

/** The same number of values in another type. */
function convert(rng: Rng, tensor: Tensor): void {
  const values = tensor.data.length / BYTES[tensor.dtype]!;
  tensor.dtype = oneIn(rng, 2) ? pick(rng, ["F16", "BF16"]) : pick(rng, DTYPES);
  // Small numbers in each of the three types that are read.
  tensor.data = Uint8Array.from({ length: values * BYTES[tensor.dtype]! }, (_, i) => (i % 2 ? 0x30 : rng.below(256)));
}

function setValue(rng: Rng, { data }: Tensor): void {
  const values = Math.floor(data.length / 4);
  if (values > 0) new DataView(data.buffer).setUint32(4 * rng.below(values), pick(rng, FLOATS), true);
}

/** The file's bytes, its header now and then changed in a place of its own. */
function written(rng: Rng, { tensors, metadata }: Contents): Uint8Array {
  const entries: Entry[] = [];
  let end = 0;
  for (const { name, dtype, shape, data } of tensors) {
    entries.push([JSON.stringify(name), toTree({ dtype, shape, data_offsets: [end, end + data.length] })]);
    end += data.length;
  }
  if (metadata) entries.splice(rng.below(entries.length + 1), 0, ['"__metadata__"', toTree(metadata)]);
  let header: Tree = { isList: false, entries };
  let data = Buffer.concat(tensors.map((tensor) => tensor.data));
  if (oneIn(rng, 2)) for (let left = 1 + rng.below(3); left > 0; left--) header = mutateTree(rng, header, WORDS);
  if (entries.length > 0 && oneIn(rng, 6)) data = shift(rng, entries, data);
  const text = treeText(header);
  const head = oneIn(rng, 4)
    ? writtenOddly(rng, text)
    : new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  return new Uint8Array(Buffer.concat([drawLength(rng, head.length), head, data]));
}

/** Moves the data of one tensor on: into the next one, or behind a gap that is there or not. */
function shift(rng: Rng, entries: Entry[], data: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const [, tree] = pick(rng, entries);
  const offsets = typeof tree === "string" ? undefined : tree.entries.at(-1)?.[1];
  const by = pick(rng, [1, 4, -4, 64, 2 ** 31, 2 ** 53]);
  if (typeof offsets === "object") for (const entry of offsets.entries) entry[1] = String(Number(entry[1]) + by);
  return oneIn(rng, 2) && by < 100 ? Buffer.concat([data, new Uint8Array(Math.abs(by))]) : data;
}

/** The eight bytes of the header's length, once in ten times of another one. */
function drawLength(rng: Rng, length: number): Uint8Array {
  const others = [0, 1, length + 1, length - 1, 100_000_001, 2 ** 31, 2 ** 53, 2 ** 63]
    .map(BigInt)
    .concat(2n ** 64n - 1n);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(
    0,
    BigInt.asUintN(64, oneIn(rng, 10) ? pick(rng, others) : BigInt(length)),
    true,
  );
  return bytes;
}
