/** `bench step`: one training step, by model, mode and device, on packed or padded batches, optionally compared with PyTorch. */
import type { Backend } from "../backend/backend.ts";
import { describeDevice } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import { type DeviceName, type GPT2Config, MODE_TITLES, type Mode, type WeightDtype } from "../config.ts";
import type { PackedBatch } from "../data/corpus.ts";
import { loadDataset } from "../data/datasets.ts";
import { Loader } from "../data/loader.ts";
import { classificationBatch } from "../engine/batches.ts";
import { Engine } from "../engine/engine.ts";
import { ConfigError, type LowrankError } from "../errors.ts";
import type { Batch } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { matmulKernel } from "../ops/matmul.ts";
import { memoryTotals, showBytes } from "../plan/memory.ts";
import { renderTable } from "../report/tables.ts";
import { Rng } from "../rng.ts";
import { sizeOf } from "../tensor.ts";
import { describeMachine, machine } from "./machine.ts";
import { Dialogue } from "./processes.ts";
import { spreadOf } from "./spread.ts";
import torchScript from "./step_torch.py";

export type ShapeName = "gpt2-micro" | "gpt2-small" | "gpt2-medium";

const COMMON = { vocab_size: 50257, layer_norm_epsilon: 1e-5 };
export const CONFIGS: Record<ShapeName, GPT2Config> = {
  "gpt2-micro": { ...COMMON, n_positions: 256, n_layer: 4, n_head: 4, n_embd: 128 },
  "gpt2-small": { ...COMMON, n_positions: 1024, n_layer: 12, n_head: 12, n_embd: 768 },
  "gpt2-medium": { ...COMMON, n_positions: 1024, n_layer: 24, n_head: 16, n_embd: 1024 },
};

export interface StepBenchOptions {
  model: ShapeName;
  mode: Mode;
  dtype: WeightDtype;
  device: DeviceName;
  threads?: number;
  data?: string;
  padding?: number;
  maxLength: number;
  batchSize: number;
  steps: number;
  peer?: "torch";
  json?: boolean;
}

interface StepResult {
  /** Milliseconds of each step. */
  times: number[];
  /** CPU time per step in milliseconds, over all threads; other load on the machine affects it less than wall time. */
  cpu: number;
  /** Mean tokens per step. */
  tokens: number;
  flops: number;
  /** Bytes in the plan, and the peak resident set size of this process. */
  planned: number;
  /** Dispatches a step. */
  dispatches: number;
  peak: number;
  /** Milliseconds by kernel, if the device reports them. */
  kernels: [string, number][];
}

/** The results of PyTorch. */
interface TorchResult {
  version: string;
  blas: string;
  threads: number;
  /** Milliseconds of each step. */
  times: number[];
  /** CPU time per step in milliseconds. */
  cpu: number;
  /** Peak resident set size of its process, in bytes. */
  peak: number;
}

const LR = 5e-5;

function specOf({ model, mode, dtype }: StepBenchOptions): ModelSpec {
  return {
    config: CONFIGS[model],
    task: { objective: "classification", num_labels: 2, pooling: "last-token", head_bias: true },
    mode,
    lora:
      mode === "lora"
        ? {
            r: 8,
            lora_alpha: 16,
            scaling: "alpha/r",
            init: "kaiming",
            target_modules: ["q", "k", "v", "o", "fc", "proj", "head"],
          }
        : null,
    train_head: true,
    dtype,
  };
}

export async function benchStep(options: StepBenchOptions): Promise<number> {
  const batches = await batchesOf(options);
  const torch = options.peer === "torch" ? new Dialogue("python3", ["-c", torchScript]) : null;
  const device = await openDevice(options.device, { threads: options.threads });
  const { info } = device;
  try {
    const peer = torch && (await startTorch(torch, options));
    const ours = await measure(device, options, batches, async (steps) => {
      if (torch && peer) for (let i = 0; i < steps; i++) await stepTorch(torch, peer);
    });
    if (options.json) console.log(JSON.stringify({ machine: machine(), device: info, options, ours, torch: peer }));
    else console.log(`${describeMachine(machine())}\n${describeDevice(info)}\n${report(options, ours, peer)}`);
  } finally {
    torch?.end();
    device.destroy();
  }
  return 0;
}

/** The first batches of training; further epochs if one is not enough. */
async function batchesOf({ data, padding, maxLength, batchSize, steps }: StepBenchOptions): Promise<PackedBatch[]> {
  const spec = data === undefined ? { name: "spam" } : { file: data };
  const { train } = await loadDataset(spec, { padding: padding ?? "none", maxLength });
  const loader = new Loader(train, { batchSize, seed: 1 });
  const batches: PackedBatch[] = [];
  for (let epoch = 0; batches.length < steps; epoch++) batches.push(...loader.epoch(epoch));
  return batches.slice(0, steps);
}

/** A turn ends after the first step that exceeds this time. */
const TURN_MS = 500;

/**
 * Measures steps over all batches in turns of consecutive steps, so that, as in training, threads stay awake. After each turn,
 * `otherTurn` runs as many steps.
 */
async function measure(
  device: Backend,
  options: StepBenchOptions,
  packed: PackedBatch[],
  otherTurn: (steps: number) => Promise<void>,
): Promise<StepResult> {
  const batches = packed.map((batch) => classificationBatch(batch, "last"));
  const tokens = batches.map(({ ids }) => ids.length);
  const engine = await Engine.create(device, {
    spec: specOf(options),
    capacity: { tokens: Math.max(...tokens), sequences: options.batchSize },
    optimizer: { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.1, clip: 0 },
  });
  await fill(engine);
  const step = async (batch: Batch) => {
    const started = performance.now();
    await engine.result(engine.step([batch], LR)[0]!);
    return performance.now() - started;
  };
  await step(batches[0]!); // warm-up: compilation, caches
  const times: number[] = [];
  let cpu = 0;
  let turn = { steps: 0, ms: 0 };
  for (const batch of batches) {
    const before = process.cpuUsage();
    const ms = await step(batch);
    const { user, system } = process.cpuUsage(before);
    cpu += (user + system) / 1000;
    times.push(ms);
    turn = { steps: turn.steps + 1, ms: turn.ms + ms };
    if (turn.ms > TURN_MS || times.length === batches.length) {
      await otherTurn(turn.steps);
      turn = { steps: 0, ms: 0 };
    }
  }
  // In a separate step: timing each dispatch slows it down.
  const { session } = engine;
  const kernels = new Map<string, number>();
  session.times = kernels;
  await step(batches[0]!);
  session.times = null;
  const mean = tokens.reduce((sum, n) => sum + n, 0) / tokens.length;
  return {
    times,
    cpu: cpu / batches.length,
    tokens: mean,
    flops: flopsOf(engine, mean, options.batchSize),
    planned: memoryTotals(engine.plan.memory).total,
    dispatches: engine.plan.segments.reduce((sum, { dispatches }) => sum + dispatches.length, 0),
    peak: process.resourceUsage().maxRSS * 1024,
    kernels: [...kernels].sort((a, b) => b[1] - a[1]),
  };
}

/** Fills parameters with a repeated block of small normal random numbers; weights of norms with 1. */
async function fill(engine: Engine): Promise<void> {
  const rng = new Rng(1);
  const block = Float32Array.from({ length: 1 << 18 }, () => rng.normal() * 0.02);
  for (const { name, shape } of engine.plan.parameters.all.values()) {
    const width = sizeOf(shape) / shape[0]!;
    const rows = Math.max(1, Math.floor(block.length / width));
    for (let row = 0; row < shape[0]!; row += rows) {
      const count = Math.min(rows, shape[0]! - row) * width;
      const isNorm = /ln_\w+\.weight$/.test(name);
      engine.writeParameter(name, isNorm ? new Float32Array(count).fill(1) : block.subarray(0, count), row);
    }
  }
  await engine.session.flush();
}

/** Multiplications and additions in the matrix products of a step. */
function flopsOf({ plan }: Engine, tokens: number, sequences: number): number {
  const sizes: Record<string, number> = { tokens, sequences };
  let flops = 0;
  for (const { kernel, scalars } of plan.segments.flatMap(({ dispatches }) => dispatches)) {
    if (kernel !== matmulKernel) continue;
    const [m, n, k] = scalars.map((scalar) => (typeof scalar === "string" ? sizes[scalar]! : scalar));
    flops += 2 * m! * n! * k!;
  }
  return flops;
}

/** Starts PyTorch with the same model and batch size, with rows padded to the maximum length, as in the paper's program. */
async function startTorch(
  torch: Dialogue,
  { model, mode, maxLength, batchSize }: StepBenchOptions,
): Promise<TorchResult> {
  const job = { ...CONFIGS[model], mode, r: 8, alpha: 16, rows: batchSize, length: maxLength };
  const about = await torch.ask<Omit<TorchResult, "times" | "cpu" | "peak">>(job).catch((cause: LowrankError) => {
    const { found = cause.message } = cause.details;
    const hint = "omit --peer";
    throw new ConfigError("PyTorch cannot be run", { expected: "python3 with torch", found, hint, cause });
  });
  return { ...about, times: [], cpu: 0, peak: 0 };
}

async function stepTorch(torch: Dialogue, result: TorchResult): Promise<void> {
  const { time, cpu, peak } = await torch.ask<{ time: number; cpu: number; peak: number }>("step");
  result.cpu += (cpu - result.cpu) / result.times.push(time);
  result.peak = peak;
}

function report(options: StepBenchOptions, ours: StepResult, torch: TorchResult | null): string {
  const { model, mode, dtype, padding, batchSize } = options;
  const { median, low, high, best } = spreadOf(ours.times);
  const total = ours.kernels.reduce((sum, [, time]) => sum + time, 0);
  const lines = [
    `${model}, ${MODE_TITLES[mode]}${dtype === "f16" ? ", base model in f16" : ""}, ${batchSize} messages per step, ${padding === undefined ? "packed" : `padded to ${padding}`}: ` +
      `${ours.tokens.toFixed(0)} tokens per step`,
    `step:   ${median.toFixed(1)} ms (${low.toFixed(1)} to ${high.toFixed(1)}), best ${best.toFixed(1)} ms, ` +
      `${ours.cpu.toFixed(1)} ms CPU time`,
    `plan:   ${ours.dispatches} dispatches per step`,
    `speed:  ${((1000 * ours.tokens) / median).toFixed(0)} tokens/s, ${(ours.flops / median / 1e6).toFixed(1)} GFLOP/s in matrix products`,
    `memory: ${showBytes(ours.planned)} planned, ${showBytes(ours.peak)} peak resident set size`,
  ];
  if (torch) lines.push(...compare(options, ours, torch));
  if (total > 0)
    lines.push(
      renderTable(
        [
          { header: "kernel", value: ([name]) => name },
          { header: "ms", value: ([, time]) => time, digits: 1 },
          { header: "share, %", value: ([, time]) => (100 * time) / total, digits: 1 },
        ],
        ours.kernels,
      ),
    );
  return lines.join("\n");
}

function compare({ maxLength }: StepBenchOptions, ours: StepResult, torch: TorchResult): string[] {
  const { median, low, high, best } = spreadOf(torch.times);
  const us = spreadOf(ours.times);
  const threads = torch.threads === 1 ? "1 thread" : `${torch.threads} threads`;
  return [
    `alternating with PyTorch ${torch.version} (${torch.blas}, ${threads}), padded to ${maxLength}:`,
    `step:   ${median.toFixed(1)} ms (${low.toFixed(1)} to ${high.toFixed(1)}), best ${best.toFixed(1)} ms, ` +
      `${torch.cpu.toFixed(1)} ms CPU time`,
    `memory: ${showBytes(torch.peak)} peak resident set size`,
    `ratio:  ${(us.median / median).toFixed(2)} x PyTorch's median time, ${(us.best / best).toFixed(2)} x its best, ` +
      `${(ours.cpu / torch.cpu).toFixed(2)} x its CPU time`,
  ];
}
