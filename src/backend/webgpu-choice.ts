/**
 * Which variant of a product is the fastest on a device. All of them give the same bits, but some spill registers on
 * small graphics cards, and others do without workgroup memory. Each product of a program is measured once by each of
 * its variants, on random numbers, before the program's memory is allocated, and the results are kept. One whose bits
 * differ is not used.
 */
import {
  boundTensors,
  type Dispatch,
  NO_VALUES,
  type Product,
  type ProductVariant,
  type StepValues,
  tensorAt,
} from "../ops/kernel.ts";
import { encodeTable, NO_SHARE, SHARE, TABLE_ENTRIES } from "../ops/shares.ts";
import { planMemory } from "../plan/memory.ts";
import type { Program } from "../plan/plan.ts";
import { Rng } from "../rng.ts";
import type { Tensor } from "../tensor.ts";
import type { Backend, Session, TensorData } from "./backend.ts";
import { chooseReading, listVariants } from "./webgpu-shaders.ts";

/** A device measures for so many milliseconds in all; then products take the variant that their shape suggests. */
const MILLISECONDS = 500;

/** What a product takes on the device, about; and the most repetitions. */
const PRODUCT_MILLISECONDS = 30;
const REPETITIONS = 20;

/** Another variant is used if it takes less than this share of the time. */
const FASTER = 0.9;

/** The most words of an operand that are not 0, and of a result that are compared. */
const WORDS = 1 << 18;

/** The most operations, and the most rows, of a product that is measured. */
const MOST_OPERATIONS = 4e9;
const MOST_ROWS = 1024;

/** The rows for which a product is measured, a power of two: about as many as a batch of its plan usually has. */
function countMeasuredRows(dispatch: Dispatch): number {
  const [{ m, n, k }] = dispatch.kernel.products!(dispatch) as [Product];
  const room = tensorAt(dispatch, m > 0 ? "a" : "out").shape[0]!;
  const fixed = [m, n, k].reduce((product, size) => product * (size || 1), 1);
  const usual = Math.min(room / 4, MOST_OPERATIONS / 2 / fixed, MOST_ROWS);
  return Math.min(room, 2 ** Math.max(3, Math.round(Math.log2(usual))));
}

/** What the speed of a product depends on: "linear 256 x 768 x 3072 f32", "matmul 768 x 768 x 64 a^T f32". */
export function showProduct(dispatch: Dispatch): string {
  const { name, products } = dispatch.kernel;
  const [{ m, n, k, a_col, b_col }] = products!(dispatch) as [Product];
  const rows = countMeasuredRows(dispatch);
  const sizes = [m, n, k].map((size) => size || rows);
  const turned = [...(a_col !== 1 ? ["a^T"] : []), ...(b_col !== 1 ? ["b^T"] : [])];
  return [name, sizes.join(" x "), ...turned, `${tensorAt(dispatch, "b").dtype}${chooseReading(dispatch)}`].join(" ");
}

/** The variants of a program's products. */
export type Variants = ReadonlyMap<Dispatch, ProductVariant>;

/** Prepares a program whose products are computed by these variants. */
type Prepare<S extends Session> = (program: Program, sharedFrom: S | undefined, variants: Variants) => Promise<S>;

type Device = Pick<Backend, "choices">;

/** What is known of a device. */
interface Known {
  /** By what `showProduct` says of a product. */
  variants: Map<string, ProductVariant>;
  /** What measuring took. */
  milliseconds: number;
  /** Resolves when the last program has been measured: one after the other. */
  last: Promise<unknown>;
}

const measured = new WeakMap<Device, Known>();

/**
 * The variants of a program's products where they can be measured: those that were measured before, now, or in an
 * earlier run.
 */
export async function measureVariants<S extends Session>(
  device: Device,
  { segments }: Program,
  prepare: Prepare<S>,
): Promise<Variants> {
  const known: Known = measured.get(device) ?? { variants: new Map(), milliseconds: 0, last: Promise.resolve() };
  measured.set(device, known);
  const products = segments.flatMap(({ dispatches }) => dispatches).filter(isMeasured);
  const learned = known.last.then(() => learnVariants(products, known, device, prepare));
  known.last = learned.catch(() => {});
  await learned;
  return new Map(products.map((dispatch) => [dispatch, known.variants.get(showProduct(dispatch))!]));
}

async function learnVariants<S extends Session>(
  products: readonly Dispatch[],
  known: Known,
  { choices }: Device,
  prepare: Prepare<S>,
): Promise<void> {
  const unknown = new Map(products.map((dispatch) => [showProduct(dispatch), dispatch]));
  for (const product of known.variants.keys()) unknown.delete(product);
  if (unknown.size === 0) return;
  const kept = (await choices?.read()) ?? {};
  const found: Record<string, string> = {};
  const words = randomWords();
  try {
    for (const [product, dispatch] of unknown) {
      const all = listVariants(dispatch);
      const before = all.find((one) => one === kept[product]);
      // Where measuring fails it is not repeated.
      known.variants.set(product, before ?? all[0]!);
      if (before || known.milliseconds > MILLISECONDS) continue;
      const began = performance.now();
      const fastest = await measure(dispatch, all, prepare, words);
      known.milliseconds += performance.now() - began;
      known.variants.set(product, fastest);
      found[product] = fastest;
    }
  } finally {
    if (Object.keys(found).length > 0) await choices?.write({ ...kept, ...found });
  }
}

/** Products of several members take the variant that their shape suggests; so do parts in blocks. */
function isMeasured(dispatch: Dispatch): boolean {
  const { products } = dispatch.kernel;
  if (!products || dispatch.variant) return false;
  if (new Set(products(dispatch).map(({ member }) => member)).size > 1) return false;
  const b = tensorAt(dispatch, "b");
  return listVariants(dispatch).length > 1 && !(b.isInBlocks && b.root !== b);
}

interface Candidate<S> {
  variant: ProductVariant;
  session: S;
  /** The milliseconds of all its runs, by the shader's name. */
  times: Map<string, number>;
}

/** The fastest variant of a product; the first one if no other is clearly faster. */
async function measure<S extends Session>(
  dispatch: Dispatch,
  variants: readonly ProductVariant[],
  prepare: Prepare<S>,
  words: Uint32Array<ArrayBuffer>,
): Promise<ProductVariant> {
  const segments = [{ name: "forward" as const, clears: [], dispatches: [dispatch] }];
  const program = { segments, memory: planMemory(segments) };
  const candidates: Candidate<S>[] = [];
  try {
    for (const variant of variants)
      candidates.push({
        variant,
        session: await prepare(program, candidates[0]?.session, new Map([[dispatch, variant]])),
        times: new Map(),
      });
    const rows = countMeasuredRows(dispatch);
    const values = Object.fromEntries(Object.keys(NO_VALUES).map((name) => [name, rows])) as unknown as StepValues;
    const equal = await compareBits(dispatch, candidates, values, words);
    for (const { session, times } of equal) await session.time?.(times);
    await repeat(equal, values, 1);
    const once = equal.reduce((sum, one) => sum + totalTime(one), 0);
    await repeat(equal, values, Math.min(REPETITIONS, Math.floor(PRODUCT_MILLISECONDS / Math.max(once, 1e-3))));
    const [first] = equal;
    const fastest = equal.reduce((best, one) => (totalTime(one) < totalTime(best) ? one : best));
    return totalTime(fastest) < FASTER * totalTime(first!) ? fastest.variant : first!.variant;
  } finally {
    for (const { session } of candidates) session.destroy();
  }
}

const totalTime = <S>({ times }: Candidate<S>) => [...times.values()].reduce((sum, ms) => sum + ms, 0);

/** Queues a run of each, one after the other, and waits once. */
async function repeat<S extends Session>(
  candidates: readonly Candidate<S>[],
  values: StepValues,
  times: number,
): Promise<void> {
  for (let i = 0; i < times; i++) for (const { session } of candidates) session.run(["forward"], values);
  await Promise.all(candidates.map(({ session }) => session.flush()));
}

/** Those whose results have the bits of the first one's. They share all buffers, which are used in this order. */
async function compareBits<S extends Session>(
  dispatch: Dispatch,
  candidates: readonly Candidate<S>[],
  values: StepValues,
  words: Uint32Array<ArrayBuffer>,
): Promise<Candidate<S>[]> {
  const rows = encodeTable(SHARE, Array(TABLE_ENTRIES).fill({ ...NO_SHARE, ...values }));
  const written = new Set(boundTensors(dispatch).flatMap(({ tensor }) => (tensor.contents ? [] : tensor)));
  const contents = [...written].map((tensor) => {
    return [tensor, tensor === tensorAt(dispatch, "shares") ? rows : repeatWords(words, tensor)] as const;
  });
  const out = tensorAt(dispatch, "out");
  const reads = candidates.map(async ({ session }) => {
    // A product may add to what is there.
    for (const [tensor, data] of contents) session.write(tensor, data);
    session.run(["forward"], values);
    return session.read(out, 0, Math.min(WORDS, out.size));
  });
  const [first, ...others] = (await Promise.all(reads)).map((one) => new Uint32Array(one.buffer));
  return candidates.filter((_, i) => i === 0 || others[i - 1]!.every((word, at) => word === first![at]));
}

/** Small numbers of either sign, as f32 and as f16; as blocks, any codes with such scales. */
function randomWords(): Uint32Array<ArrayBuffer> {
  const rng = new Rng(1);
  return Uint32Array.from({ length: WORDS }, () => (rng.next() & 0x83ff83ff) | 0x38003800);
}

/** As many of the words as a tensor has; a tensor in blocks is written whole. */
function repeatWords(words: Uint32Array<ArrayBuffer>, { isInBlocks, bytes, size, dtype }: Tensor): TensorData {
  if (isInBlocks) return Uint32Array.from({ length: bytes / 4 }, (_, i) => words[i % WORDS]!);
  return (dtype === "f16" ? new Uint16Array(words.buffer) : words).subarray(0, size);
}
