/** The measurements as blocks. */
import { describeDevice } from "../../backend/backend.ts";
import { deviceColumns, figure, kernelTable, TITLES } from "../../bench/blocks.ts";
import type { ExampleStep } from "../../bench/example-step.ts";
import type { Block, Table } from "../../views/blocks.ts";
import type { Result } from "./measure.ts";

/** The devices, and what the first one can do. */
export function deviceFigures({ devices }: Result): [term: string, value: string][] {
  const { yardsticks, latency } = devices[0]!;
  return [
    ...devices.map(({ device }): [string, string] => [TITLES[device.kind], describeDevice(device)]),
    ...(yardsticks
      ? ([
          ["Plain copy", `${figure(yardsticks.copy)} GB/s`],
          ["Plain multiply-adds", `${figure(yardsticks.multiplyAdd)} GFLOP/s`],
        ] as [string, string][])
      : []),
    ...(latency
      ? ([
          ["A dispatch", `${figure(latency.dispatch)} us`],
          ["A submission and its readback", `${figure(latency.readback)} ms`],
        ] as [string, string][])
      : []),
  ];
}

const STEP_ROWS: readonly [string, (step: ExampleStep) => string][] = [
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
    columns: deviceColumns("Figure", devices),
    rows: STEP_ROWS.map(([name, cell]) => [name, ...devices.map(({ step }) => step && cell(step))]),
  };
  const kernels = devices.flatMap(({ device, step }): Block[] =>
    step?.profile.kernels.length
      ? [{ kind: "details", title: `Kernels, ${TITLES[device.kind]}`, blocks: [kernelTable(step.profile.kernels)] }]
      : [],
  );
  return [table, ...kernels];
}
