/** What a run would take in memory: a table over types of weights, recomputation and batch sizes. */
import { type Backend, describeDevice } from "../backend/backend.ts";
import { MODE_TITLES } from "../config.ts";
import { maxBatchTokens } from "../data/loader.ts";
import { showBytes } from "../plan/memory.ts";
import type { TrainOptions } from "../train/options.ts";
import { adviceOn, type Measured, measureSizes, type PlanArguments } from "../train/sizes.ts";
import { renderTable } from "./terminal/table.ts";

interface MemoryTable {
  /** Bytes that a run may take on this device; null if they are not known. */
  total: number | null;
  batchSizes: number[];
  /** See `measureSizes`. */
  rows: (Measured | null)[][];
}

export function memoryTable(args: PlanArguments, options: TrainOptions): MemoryTable {
  const { batchSize } = options;
  const sizes = [1, batchSize >> 1, batchSize, 2 * batchSize, 4 * batchSize];
  const batchSizes = [...new Set(sizes)].filter((size) => size >= 1 && size <= args.data.train.size);
  const rows = measureSizes(args, options, batchSizes);
  return { total: args.device.limits.total ?? null, batchSizes, rows };
}

/** The table, with what to change if the settings do not fit. */
export function describeMemory(
  { total, batchSizes, rows }: MemoryTable,
  args: PlanArguments & { device: Pick<Backend, "info"> },
  options: TrainOptions,
): string {
  const { train } = args.data;
  const present = rows.flat().find((one) => one?.isPresent);
  const columns = batchSizes.map((size, i) => ({
    header: `batch ${size}`,
    value: (row: (Measured | null)[]) => show(row[i]!),
  }));
  const first = (row: (Measured | null)[]) => row.find((one) => one !== null)!;
  return [
    `device: ${describeDevice(args.device.info)}`,
    total === null ? "memory: this device does not tell how much it has" : `memory: at most ${showBytes(total)}`,
    `a run: ${MODE_TITLES[options.mode]}; the ${options.batchSize} longest rows have ${maxBatchTokens(train, options.batchSize)} tokens`,
    renderTable(
      [
        { header: "--dtype", value: (row) => first(row).dtype },
        { header: "--recompute", value: (row) => (first(row).recompute ? "on" : "off") },
        ...columns,
      ],
      rows.filter((row) => row.some((one) => one !== null)),
    ),
    `*: with these settings; x: does not fit${total === null ? ", because of the size of a buffer" : ""}`,
    ...(present?.fits ? [] : [`these settings do not fit: ${adviceOn(args, options)}`]),
  ].join("\n");
}

const show = (one: Measured | null) =>
  one && `${showBytes(one.bytes)}${one.fits ? "" : " x"}${one.isPresent ? " *" : ""}`;
