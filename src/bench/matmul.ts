/** `bench matmul`: the matrix products of a training step in GFLOP/s, by shape. */

import { type Backend, describeDevice } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { openBackend } from "../backend/device.ts";
import { hasRelaxedSimd, openWasm } from "../backend/wasm.ts";
import type { RowColumn } from "../document/blocks.ts";
import { digits } from "../format.ts";
import { renderTable } from "../views/terminal/render.ts";
import { describeMachine, machine } from "./machine.ts";
import { type Contender, measureProducts, type Product, productsFor, type Rate } from "./products.ts";
import { describeYardsticks, measureYardsticks, type Yardsticks } from "./yardsticks.ts";

interface MatmulBenchOptions {
  device: DeviceName;
  threads?: number;
  rounds: number;
  json?: boolean;
}

interface Result extends Product {
  /** By contender. */
  gflops: Rate[];
}

/**
 * Measures and prints. On the CPU, measures both builds of the backend if the runtime has relaxed SIMD, and frozen
 * weights in int16.
 */
export async function benchMatmul(options: MatmulBenchOptions): Promise<number> {
  const { threads = 0, rounds } = options;
  const devices: Backend[] = [await openBackend(options.device, { threads })];
  if (devices[0]!.info.kind === "wasm" && hasRelaxedSimd()) devices.push(await openWasm({ threads, relaxed: false }));
  try {
    const yardsticks = await measureYardsticks(devices[0]!);
    const contenders = devices.map((device): Contender => ({ device, dtype: "f32" }));
    if (devices[0]!.info.kind === "wasm") contenders.push({ device: devices[0]!, dtype: "int16" });
    const products = productsFor(devices[0]!.info);
    const rates = await measureProducts(contenders, products, rounds);
    const results = products.map((product, i): Result => ({ ...product, gflops: rates[i]! }));
    const infos = devices.map(({ info }) => info);
    if (options.json) console.log(JSON.stringify({ machine: machine(), devices: infos, yardsticks, results }));
    else {
      console.log([describeMachine(machine()), ...infos.map(describeDevice)].join("\n"));
      if (yardsticks) console.log(describeYardsticks(yardsticks));
      const clocks = new Set(results.flatMap(({ gflops }) => gflops.map(({ clock }) => clock)));
      console.log(
        `GFLOP/s of ${rounds} rounds, by ${[...clocks].join(" and ")}\n${table(results, contenders, yardsticks)}`,
      );
    }
  } finally {
    for (const device of devices) device.destroy();
  }
  return 0;
}

function table(results: Result[], contenders: readonly Contender[], yardsticks: Yardsticks | null): string {
  const rates = contenders.flatMap(({ dtype }, d): RowColumn<Result>[] => [
    {
      title: contenders.length > 1 ? `${dtype === "f32" ? d + 1 : dtype}: median` : "median",
      value: ({ gflops }) => gflops[d]?.median,
      format: digits(1),
    },
    { title: "quartiles", value: ({ gflops }) => gflops[d] && quartiles(gflops[d]) },
    { title: "best", value: ({ gflops }) => gflops[d]?.best, format: digits(1) },
  ]);
  const share: RowColumn<Result> = {
    title: "of multiply-add, %",
    value: ({ gflops }) => (100 * gflops[0]!.median) / yardsticks!.multiplyAdd,
    format: digits(1),
  };
  return renderTable(
    [
      { title: "product", value: ({ name }) => name },
      { title: "m", value: ({ m }) => m },
      { title: "n", value: ({ n }) => n },
      { title: "k", value: ({ k }) => k },
      ...rates,
      ...(yardsticks ? [share] : []),
    ],
    results,
  );
}

const quartiles = ({ low, high }: Rate) => `${low.toFixed(1)} to ${high.toFixed(1)}`;
