/** The measurements as blocks. */
import { describeDevice } from "../../backend/backend.ts";
import type { MicroStep } from "../../bench/micro-step.ts";
import type { KernelFigures } from "../../bench/step-profile.ts";
import { count, percent } from "../../format.ts";
import { type Block, type Column, makeTable, type Table } from "../../views/blocks.ts";
import { productSize, type Result, TITLES } from "./measure.ts";

function figure(value: number): string {
  if (value >= 100) return count(Math.round(value));
  return value < 1 ? value.toFixed(2) : value.toPrecision(3);
}

function rate(value: number | null | undefined, share: number | null | undefined): string | null {
  if (value == null) return null;
  return share == null ? figure(value) : `${figure(value)} (${percent(share, 0)})`;
}

/** The devices, and their yardsticks. */
export function deviceFigures({ devices }: Result): [term: string, value: string][] {
  const { yardsticks } = devices[0]!;
  return [
    ...devices.map(({ device }): [string, string] => [TITLES[device.kind], describeDevice(device)]),
    ...(yardsticks
      ? ([
          ["Plain copy", `${figure(yardsticks.copy)} GB/s`],
          ["Plain multiply-adds", `${figure(yardsticks.multiplyAdd)} GFLOP/s`],
        ] as [string, string][])
      : []),
  ];
}

const columns = (first: string, devices: Result["devices"]): Column[] =>
  [first, ...devices.map(({ device }) => TITLES[device.kind])].map((title) => ({ title, key: null }));

const STEP_ROWS: readonly [string, (step: MicroStep) => string][] = [
  ["One step, ms", ({ ms }) => figure(ms.median)],
  ["Tokens/s", ({ tokensPerSecond }) => figure(tokensPerSecond)],
  ["One of many steps in one submission, ms", ({ profile }) => figure(profile.ms.median)],
  ["Dispatches", ({ profile }) => String(profile.dispatches)],
  ["Dispatches/s", ({ profile }) => figure(profile.dispatchesPerSecond)],
  ["Loss of the first step", ({ loss }) => loss.toFixed(5)],
];

export function stepBlocks({ devices }: Result): Block[] {
  const table: Table = {
    kind: "table",
    name: "training-step",
    caption: `gpt2-micro with LoRA, ${devices[0]!.step?.tokens ?? 0} tokens`,
    columns: columns("Figure", devices),
    rows: STEP_ROWS.map(([name, cell]) => [name, ...devices.map(({ step }) => step && cell(step))]),
  };
  const kernels = devices.flatMap(({ device, step }): Block[] =>
    step?.profile.kernels.length
      ? [{ kind: "details", title: `Kernels, ${TITLES[device.kind]}`, blocks: [kernelTable(step.profile.kernels)] }]
      : [],
  );
  return [table, ...kernels];
}

function kernelTable(kernels: readonly KernelFigures[]): Table {
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

export function productTable({ devices }: Result): Table {
  const { products } = devices[0]!;
  return {
    kind: "table",
    name: "products",
    caption: "GFLOP/s (and the share of the plain multiply-adds)",
    columns: columns("Product, m x n x k", devices),
    rows: products.map((product, i) => [
      `${product.name}, ${productSize(product)}`,
      ...devices.map(({ products, yardsticks }) => {
        const median = products[i]?.gflops.median;
        return rate(median, yardsticks && median !== undefined ? median / yardsticks.multiplyAdd : null);
      }),
    ]),
  };
}
