/** A run's memory, as blocks: its plan, and a table over types of weights, recomputation and batch sizes. */

import { type Backend, describeDevice, expectDtype } from "../backend/backend.ts";
import { formatCount, formatShare } from "../core/format.ts";
import { setting } from "../core/setting.ts";
import { numel } from "../core/tensor.ts";
import { maxBatchTokens } from "../data/loader.ts";
import { type Block, details, makeTable, text } from "../document/blocks.ts";
import { METHODS } from "../methods/index.ts";
import { frozenBlocks, type ModelSpec, parameterList } from "../model/trainable.ts";
import { printLargest } from "../plan/check-memory.ts";
import { formatBytes } from "../plan/memory.ts";
import type { Preparable } from "../train/job.ts";
import type { TrainEvent } from "../train/records.ts";
import type { TrainOptions } from "../train/settings.ts";
import { adviceOn, type MeasuredSize, measureSizes } from "../train/sizes.ts";

/** The device, the trainable parameters, and the memory that will be allocated. */
export function planBlocks(event: Extract<TrainEvent, { type: "plan" }>): Block[] {
  const { spec, device, trainable, flops, tokens, recomputed, memory, features } = event;
  const parameters = parameterList(spec);
  const sum = (list: typeof parameters) => list.reduce((total, { shape }) => total + numel(shape), 0);
  const all = sum(parameters);
  const base = sum(parameters.filter(({ origin }) => origin === "base"));
  const blocks = [
    `device: ${describeDevice(device)}`,
    `trainable: ${formatCount(trainable)} of ${formatCount(all)} parameters (${formatShare(trainable / all)}), ${METHODS[spec.mode].title}; the base model has ${formatCount(base)}`,
    `memory: ${printLargest(memory.byRole, memory.peak)}, for batches of at most ${tokens} tokens`,
  ].map(text);
  const more = [
    `compute: ${(flops / 1e9).toPrecision(3)} GFLOP in the matrix products of a batch of mean length`,
    ...(features ? [describeFeatures(spec, features)] : []),
    ...(recomputed > 0
      ? [
          `recompute: ${recomputed} of ${spec.config.n_layer} blocks run again in the backward pass, so that only their inputs are kept`,
        ]
      : []),
  ].map(text);
  return [...blocks, details("Computed", more)];
}

/** The lowest blocks, which run once for each message, and the features that they leave. */
function describeFeatures(spec: ModelSpec, { plan, kept }: { plan: number; kept: number }): string {
  return (
    `features: the lowest ${frozenBlocks(spec)} of ${spec.config.n_layer} blocks are frozen and run once per message (${formatBytes(plan)}); ` +
    `their outputs are stored (${formatBytes(kept)})`
  );
}

interface Sizes {
  /** Bytes that a run may take on this device; null if they are not known. */
  total: number | null;
  batchSizes: number[];
  /** See `measureSizes`. */
  rows: (MeasuredSize | null)[][];
}

/** The memory of the settings with other types of weights, recomputation and batch sizes. */
export function measureMemory(args: Preparable, options: TrainOptions): Sizes {
  const { batchSize } = options;
  const sizes = [1, batchSize >> 1, batchSize, 2 * batchSize, 4 * batchSize];
  const batchSizes = [...new Set(sizes)].filter((size) => size >= 1 && size <= args.data.train.size);
  const rows = measureSizes(args, options, batchSizes);
  return { total: args.device.limits.total ?? null, batchSizes, rows };
}

/** The table, with what to change if the settings do not fit. */
export function memoryBlocks(
  { total, batchSizes, rows }: Sizes,
  args: Preparable & { device: Pick<Backend, "info"> },
  options: TrainOptions,
): Block[] {
  if (options.dtype !== "auto") expectDtype(args.device, options.dtype);
  const { train } = args.data;
  const present = rows.flat().find((cell) => cell?.isPresent);
  const first = (row: (MeasuredSize | null)[]) => row.find((cell) => cell !== null)!;
  return [
    ...[
      `device: ${describeDevice(args.device.info)}`,
      total === null ? "memory: this device does not tell how much it has" : `memory: at most ${formatBytes(total)}`,
      `a run: ${METHODS[options.mode].title}; the ${options.batchSize} longest rows have ${maxBatchTokens(train, options.batchSize)} tokens`,
    ].map(text),
    makeTable<(MeasuredSize | null)[]>(
      "memory",
      "Memory by settings and batch size",
      [
        { title: setting("dtype"), key: "dtype", value: (row) => first(row).dtype },
        { title: setting("recompute"), key: "recompute", value: (row) => (first(row).recompute ? "on" : "off") },
        ...batchSizes.map((size, i) => ({
          title: `batch ${size}`,
          key: `batch_${size}`,
          value: ({ [i]: cell }: (MeasuredSize | null)[]) =>
            cell && `${formatBytes(cell.bytes)}${cell.fits ? "" : " x"}${cell.isPresent ? " *" : ""}`,
        })),
      ],
      rows.filter((row) => row.some((one) => one !== null)),
    ),
    ...[
      `*: with these settings; x: does not fit${total === null ? ", because of the size of a buffer" : ""}`,
      ...(present?.fits ? [] : [`these settings do not fit: ${adviceOn(args, options)}`]),
    ].map(text),
  ];
}
