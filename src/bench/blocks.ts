/** Measurements as blocks: what bench.html and doctor show in the same way. */
import type { DeviceInfo } from "../backend/backend.ts";
import { count, percent } from "../format.ts";
import { type Block, type Column, makeTable, type Table } from "../views/blocks.ts";
import type { AttentionRate } from "./attention.ts";
import type { Product, Rate } from "./products.ts";
import { type CheckedShader, planTitle } from "./shader-check.ts";
import type { KernelFigures } from "./step-profile.ts";
import type { Latency, Yardsticks } from "./yardsticks.ts";

/** What was measured of a device. */
export interface DeviceRates {
  device: DeviceInfo;
  yardsticks: Yardsticks | null;
  latency: Latency | null;
  products: (Product & { gflops: Rate })[];
  attention: AttentionRate[];
}

export const TITLES = { webgpu: "WebGPU", wasm: "CPU" };

export const productSize = ({ m, n, k }: Product) => `${m} x ${n} x ${k}`;

export function figure(value: number): string {
  if (value >= 100) return count(Math.round(value));
  return value < 1 ? value.toFixed(2) : value.toPrecision(3);
}

export function rate(value: number | null | undefined, share: number | null | undefined): string | null {
  if (value == null) return null;
  return share == null ? figure(value) : `${figure(value)} (${percent(share, 0)})`;
}

export const deviceColumns = (first: string, devices: readonly Pick<DeviceRates, "device">[]): Column[] =>
  [first, ...devices.map(({ device }) => TITLES[device.kind])].map((title) => ({ title, key: null }));

export function kernelTable(kernels: readonly KernelFigures[]): Table {
  return makeTable<KernelFigures>(
    "kernels",
    "In brackets: of the plain multiply-adds, of the plain copy",
    [
      { title: "Kernel", key: null, value: ({ name }) => name },
      { title: "Dispatches", key: null, value: ({ dispatches }) => dispatches },
      { title: "ms", key: null, format: (ms) => ms.toFixed(2), value: ({ ms }) => ms },
      { title: "Share", key: null, format: percent, value: ({ share }) => share },
      { title: "GFLOP/s", key: null, value: ({ gflops, ofMultiplyAdd }) => rate(gflops, ofMultiplyAdd) },
      { title: "GB/s", key: null, value: ({ gbs, ofCopy }) => rate(gbs, ofCopy) },
    ],
    kernels,
  );
}

/** GFLOP/s by device; `rows` are the titles, and what each was measured on. */
function rateTable(
  [name, caption]: readonly [string, string],
  first: string,
  devices: readonly DeviceRates[],
  rows: readonly string[],
  of: (device: DeviceRates, i: number) => Rate | undefined,
): Table {
  return {
    kind: "table",
    name,
    caption: `${caption} in GFLOP/s (and the share of the plain multiply-adds)`,
    columns: deviceColumns(first, devices),
    rows: rows.map((title, i) => [
      title,
      ...devices.map((device) => {
        const median = of(device, i)?.median;
        const { yardsticks } = device;
        return rate(median, yardsticks && median !== undefined ? median / yardsticks.multiplyAdd : null);
      }),
    ]),
  };
}

export function productTable(devices: readonly DeviceRates[]): Table {
  const titles = devices[0]!.products.map((product) => `${product.name}, ${productSize(product)}`);
  const words = ["products", "Matrix products"] as const;
  return rateTable(words, "Product, m x n x k", devices, titles, ({ products }, i) => products[i]?.gflops);
}

export function attentionTable(devices: readonly DeviceRates[]): Table {
  const titles = devices[0]!.attention.map(({ kernel, tokens }) => `${kernel}, ${tokens} tokens`);
  const words = ["attention", "Attention over one sequence in 12 heads of 64"] as const;
  return rateTable(words, "Kernel", devices, titles, ({ attention }, i) => attention[i]?.gflops);
}

/** How many shaders agree with the CPU, and those that do not. */
export function shaderBlocks(shaders: readonly CheckedShader[]): Block[] {
  const [largest] = [...shaders].sort((a, b) => b.error - a.error);
  if (!largest) return [];
  const wrong = shaders.filter(({ isRight }) => !isRight);
  const plans = new Set(shaders.map(planTitle)).size;
  const names = new Set(shaders.map(({ shader }) => shader)).size;
  const text =
    `${names} shaders in ${plans === 1 ? "1 plan" : `${plans} plans`} ${wrong.length === 0 ? "agree" : "were compared"} ` +
    `with the CPU; largest error ${largest.error.toExponential(1)} (${largest.shader}; ${planTitle(largest)})`;
  return [{ kind: "text", text }, ...(wrong.length > 0 ? [wrongShaders(wrong)] : [])];
}

function wrongShaders(wrong: readonly CheckedShader[]): Table {
  return makeTable<CheckedShader>(
    "wrong-shaders",
    "Shaders that compute wrongly",
    [
      { title: "Shader", key: null, value: ({ shader }) => shader },
      { title: "Plan", key: null, value: planTitle },
      { title: "Error", key: null, format: (error) => error.toExponential(1), value: ({ error }) => error },
      { title: "Where", key: null, value: ({ where }) => where },
      { title: "CPU", key: null, value: ({ expected }) => String(expected) },
      { title: "Device", key: null, value: ({ found }) => String(found) },
    ],
    wrong,
  );
}
