/** Measurements as blocks: what bench.html and doctor show in the same way. */
import type { DeviceInfo } from "../backend/backend.ts";
import { count, percent } from "../format.ts";
import { type Column, makeTable, type Table } from "../views/blocks.ts";
import type { Product, Rate } from "./products.ts";
import type { KernelFigures } from "./step-profile.ts";
import type { Yardsticks } from "./yardsticks.ts";

/** What was measured of a device's products. */
export interface DeviceProducts {
  device: DeviceInfo;
  yardsticks: Yardsticks | null;
  products: (Product & { gflops: Rate })[];
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

export const deviceColumns = (first: string, devices: readonly Pick<DeviceProducts, "device">[]): Column[] =>
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

export function productTable(devices: readonly DeviceProducts[]): Table {
  const { products } = devices[0]!;
  return {
    kind: "table",
    name: "products",
    caption: "GFLOP/s (and the share of the plain multiply-adds)",
    columns: deviceColumns("Product, m x n x k", devices),
    rows: products.map((product, i) => [
      `${product.name}, ${productSize(product)}`,
      ...devices.map(({ products, yardsticks }) => {
        const median = products[i]?.gflops.median;
        return rate(median, yardsticks && median !== undefined ? median / yardsticks.multiplyAdd : null);
      }),
    ]),
  };
}
