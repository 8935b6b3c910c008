/** The matrix products of training steps: checked, then timed. */
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { DeviceError } from "../errors.ts";
import type { Dispatch } from "../ops/kernel.ts";
import { linearBackward, linearForward } from "../ops/linear.ts";
import { matmul } from "../ops/matmul.ts";
import { quantizeMatrix } from "../quantize.ts";
import { Rng } from "../rng.ts";
import { Tensor } from "../tensor.ts";
import { measureSpread, type Spread } from "./spread.ts";
import { type Clock, prepareDispatch, type Stopwatch, stopwatch, wallTime } from "./timing.ts";

export interface Product {
  name: string;
  m: number;
  n: number;
  k: number;
  transB?: boolean;
  transA?: boolean;
  /** Whether b is the frozen weight of a layer, which a device may store in a layout of its own, or in integers. */
  frozen?: boolean;
  beta?: number;
}

/** The matrices of a block of gpt2-small, [in, out]. */
const SMALL = [
  ["c_proj", 768, 768],
  ["c_attn", 768, 2304],
  ["c_fc", 768, 3072],
  ["mlp.c_proj", 3072, 768],
] as const;

/**
 * 240 rows: all of it is in the caches, so that the instructions decide; 960 tokens: 8 messages padded to 120, as in the
 * paper; 239: unpadded; 8: a row per message; 1024: a full context.
 */
const PRODUCTS: readonly Product[] = [
  { name: "in the caches, frozen", m: 240, n: 512, k: 384, frozen: true },
  { name: "x W", m: 960, n: 768, k: 768 },
  { name: "x W, frozen", m: 960, n: 768, k: 768, frozen: true },
  { name: "dy W^T, frozen", m: 960, n: 768, k: 768, transB: true, frozen: true },
  { name: "dW = x^T dy", m: 768, n: 768, k: 960, transA: true, beta: 1 },
  { name: "c_fc, one row per message", m: 8, n: 3072, k: 768, frozen: true },
  { name: "LoRA x A^T", m: 240, n: 8, k: 768, transB: true },
  { name: "LoRA down B^T", m: 240, n: 768, k: 8, transB: true, beta: 1 },
  ...[239, 1024].flatMap((m) =>
    SMALL.flatMap(([name, inputs, outputs]): Product[] => [
      { name: `${name}, x W`, m, n: outputs, k: inputs, frozen: true },
      { name: `${name}, dy W^T`, m, n: inputs, k: outputs, transB: true, frozen: true },
    ]),
  ),
];

/** A software driver is slow, and its speed means little: it measures only small products. */
export const isSoftwareDriver = ({ kind, software }: DeviceInfo) => kind === "webgpu" && software;

/** Operations of the largest product for a software driver. */
const SMALL_FLOPS = 5e7;

export function productsFor(device: DeviceInfo): readonly Product[] {
  return isSoftwareDriver(device) ? PRODUCTS.filter((one) => productFlops(one) <= SMALL_FLOPS) : PRODUCTS;
}

/** GFLOP/s of a product on a device. */
export interface Rate extends Spread {
  clock: Clock;
}

/** A device, and the type of frozen weights. */
export interface Contender {
  device: Backend;
  dtype: "f32" | "int16";
}

/**
 * Measures products by several contenders, all in turns, so that other load on the machine affects all of them equally.
 * In int16 only frozen weights are multiplied.
 */
export async function measureProducts(
  contenders: readonly Contender[],
  products: readonly Product[],
  rounds: number,
): Promise<Rate[][]> {
  const watches: (Stopwatch & { product: Product; rates: number[]; release(): void })[][] = [];
  for (const product of products) {
    const able = contenders.filter(({ dtype }) => product.frozen || dtype === "f32");
    watches.push(
      await Promise.all(able.map(async (one) => ({ ...(await prepare(one, product)), product, rates: [] }))),
    );
  }
  for (let round = 0; round < rounds; round++)
    for (const { product, rates, measure } of watches.flat())
      rates.push(productFlops(product) / (await measure()) / 1e6);
  for (const { release } of watches.flat()) release();
  return watches.map((some) =>
    // The largest is the best.
    some.map(({ rates, clock }) => ({ ...measureSpread(rates), best: Math.max(...rates), clock })),
  );
}

/** On the CPU, a segment has enough copies of a small product to take milliseconds. */
const RUN_FLOPS = 2e8;
const MOST_COPIES = 64;

const productFlops = ({ m, n, k }: Product) => 2 * m * n * k;

async function prepare({ device, dtype }: Contender, product: Product): Promise<Stopwatch & { release(): void }> {
  const { m, n, k, transA = false, transB = false, frozen = false, beta = 0 } = product;
  const out = new Tensor("out", [m, n], "output");
  const a = new Tensor("a", transA ? [k, m] : [m, k], "output");
  const b = new Tensor("b", transB ? [n, k] : [k, n], frozen ? "weight" : "output", frozen ? dtype : "f32");
  const copies = device.info.kind === "wasm" ? Math.min(MOST_COPIES, Math.ceil(RUN_FLOPS / productFlops(product))) : 1;
  const dispatch = frozen ? layer(out, a, b, product) : matmul({ out, a, b, m, n, k, transA, transB, beta });
  const work = await prepareDispatch(device, dispatch, out, copies);
  const rng = new Rng(1);
  const [left, right] = [a, b].map((tensor) => {
    const data = Float32Array.from({ length: tensor.size }, () => rng.normal());
    work.session.write(tensor, tensor.isInBlocks ? inIntegers(tensor, data) : data);
    return data;
  }) as [Float32Array, Float32Array];
  await wallTime(work, 1);
  const sum = await work.session.read(out);
  const result = beta === 1 ? sum.map((x) => x / copies) : sum;
  const row = wrongRow(product, result, left, right, TOLERANCES[b.isInBlocks ? dtype : "f32"]);
  if (row !== null)
    throw new DeviceError("results-differ", `the product ${product.name} is wrong`, {
      where: `row ${row}, on ${device.info.name}`,
      expected: `the result of float64 within the rounding of ${b.dtype}`,
    });
  return { ...(await stopwatch(device, work)), release: () => work.session.destroy() };
}

function layer(out: Tensor, a: Tensor, W: Tensor, { m, transB }: Product): Dispatch {
  return transB ? linearBackward({ dx: out, dy: a, W, rows: m }) : linearForward({ out, x: a, W, rows: m });
}

/** A matrix [in, out] in int16. */
function inIntegers({ name, shape }: Tensor, data: Float32Array): Uint32Array {
  const [inputs, outputs] = shape as [number, number];
  return new Uint32Array(quantizeMatrix(name, "int16", data, inputs, outputs).buffer);
}

/** Rounding gives some 1e-3, or 2 in int16; one wrong element about sqrt(k) x RANDOM's size. */
const TOLERANCES = { f32: 0.05, int16: 10 };

/**
 * The first row of out = a b that is wrong, or null. Freivalds' check: with a random r, out r must be a (b r), here in
 * float64. One wrong element of a row is seen, and the check reads every number once instead of repeating the product.
 */
export function wrongRow(
  { m, n, k, transA = false, transB = false }: Product,
  out: Float32Array,
  a: Float32Array,
  b: Float32Array,
  tolerance = TOLERANCES.f32,
): number | null {
  const rng = new Rng(2);
  // 1 to 2: no element is left out.
  const r = Float64Array.from({ length: n }, () => (1 + rng.uniform()) * (rng.uniform() < 0.5 ? -1 : 1));
  const br = new Float64Array(k);
  for (let l = 0; l < k; l++) for (let j = 0; j < n; j++) br[l]! += b[transB ? j * k + l : l * n + j]! * r[j]!;
  for (let i = 0; i < m; i++) {
    let difference = 0;
    for (let l = 0; l < k; l++) difference += a[transA ? l * m + i : i * k + l]! * br[l]!;
    for (let j = 0; j < n; j++) difference -= out[i * n + j]! * r[j]!;
    if (!(Math.abs(difference) <= tolerance)) return i;
  }
  return null;
}
