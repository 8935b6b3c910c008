/** `bench step`: one training step, by model, mode and device, packed or padded, optionally compared with PyTorch. */

import { type Backend, type DeviceInfo, describeDevice } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { openBackend } from "../backend/device.ts";
import type { ModelConfig } from "../core/config.ts";
import { ConfigError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { numel, type WeightDtype } from "../core/tensor.ts";
import type { PackedBatch } from "../data/corpus.ts";
import { loadDataset } from "../data/datasets.ts";
import { Loader } from "../data/loader.ts";
import { messagesBatch } from "../engine/batches.ts";
import type { Engine } from "../engine/engine.ts";
import { METHODS, type Mode } from "../methods/index.ts";
import { roomFor } from "../model/batch.ts";
import { formatBytes, memoryTotals } from "../plan/memory.ts";
import { countFlops } from "../plan/work.ts";
import { renderTable } from "../views/terminal/render.ts";
import { describeMachine, machine } from "./machine.ts";
import { Dialogue } from "./processes.ts";
import { CONFIGS, type ShapeName } from "./shapes.ts";
import { measureSpread } from "./spread.ts";
import torchScript from "./step_torch.py";
import { kernelColumns, profileStep, type StepProfile, stepEngine, stepSpec, stepTime } from "./step-profile.ts";
import { describeYardsticks, measureYardsticks, type Yardsticks } from "./yardsticks.ts";

interface StepBenchOptions {
  model: ShapeName;
  mode: Mode;
  dtype: WeightDtype;
  recompute?: boolean;
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
  peak: number;
  /** The device's features; null on the CPU. */
  yardsticks: Yardsticks | null;
  profile: StepProfile;
}

interface TorchResult {
  version: string;
  /** "CPU", or a graphics card. */
  device: string;
  blas: string;
  threads: number;
  /** Milliseconds of each step. */
  times: number[];
  /** CPU time per step in milliseconds. */
  cpu: number;
  /** Peak resident set size of its process, in bytes. */
  peak: number;
}

export async function benchStep(options: StepBenchOptions): Promise<number> {
  if (options.peer && !PEER_MODES.includes(options.mode))
    throw new ConfigError("options-conflict", `--peer ${options.peer} does not have mode ${options.mode}`, {
      expected: PEER_MODES.join(", "),
      found: options.mode,
    });
  const batches = await firstBatches(options);
  const torch = options.peer === "torch" ? new Dialogue("python3", ["-c", torchScript]) : null;
  const device = await openBackend(options.device, { threads: options.threads });
  const { info } = device;
  try {
    const peer = torch && (await startTorch(torch, options, info));
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
async function firstBatches({ data, padding, maxLength, batchSize, steps }: StepBenchOptions): Promise<PackedBatch[]> {
  const spec = data === undefined ? { name: "spam" } : { file: data };
  const { train } = await loadDataset(spec, { padding: padding ?? "none", maxLength });
  const loader = new Loader(train, { batchSize, seed: 1 });
  const batches: PackedBatch[] = [];
  for (let epoch = 0; batches.length < steps; epoch++) batches.push(...loader.epoch(epoch));
  return batches.slice(0, steps);
}

/** The modes of step_torch.py. */
const PEER_MODES: readonly Mode[] = ["lora", "all", "last_block", "last_layer"];

/** A turn ends after the first step that exceeds this time. */
const TURN_MS = 500;

/**
 * Measures steps over all batches in turns of consecutive steps, so that, as in training, threads stay awake. After
 * each turn, `otherTurn` runs as many steps.
 */
async function measure(
  device: Backend,
  options: StepBenchOptions,
  packed: PackedBatch[],
  otherTurn: (steps: number) => Promise<void>,
): Promise<StepResult> {
  const batches = packed.map((batch) => messagesBatch(batch, "last"));
  const tokens = batches.map(({ ids }) => ids.length);
  const config: ModelConfig = CONFIGS[options.model];
  const spec = stepSpec(config, options.mode, options.dtype);
  const engine = await stepEngine(device, spec, Math.max(...tokens), options.batchSize, options.recompute);
  await fill(engine);
  await stepTime(engine, batches[0]!); // warm-up: compilation, caches
  const times: number[] = [];
  let cpu = 0;
  let turn = { steps: 0, ms: 0 };
  for (const batch of batches) {
    const before = process.cpuUsage();
    const { ms } = await stepTime(engine, batch);
    const { user, system } = process.cpuUsage(before);
    cpu += (user + system) / 1000;
    times.push(ms);
    turn = { steps: turn.steps + 1, ms: turn.ms + ms };
    if (turn.ms > TURN_MS || times.length === batches.length) {
      await otherTurn(turn.steps);
      turn = { steps: 0, ms: 0 };
    }
  }
  const peak = process.resourceUsage().maxRSS * 1024;
  const largest = batches.find(({ ids }) => ids.length === engine.plan.capacity.tokens)!;
  const yardsticks = await measureYardsticks(device);
  const mean = tokens.reduce((sum, n) => sum + n, 0) / tokens.length;
  return {
    times,
    cpu: cpu / batches.length,
    tokens: mean,
    flops: countFlops(engine.plan.segments, roomFor(spec, { tokens: mean, sequences: options.batchSize })),
    planned: memoryTotals(engine.plan.memory).total,
    peak,
    yardsticks,
    profile: await profileStep(device, engine, largest, yardsticks),
  };
}

/** Fills parameters with a repeated block of small normal random numbers; weights of norms with 1. */
async function fill(engine: Engine): Promise<void> {
  const rng = new Rng(1);
  const block = Float32Array.from({ length: 1 << 19 }, () => rng.normal() * 0.02);
  for (const { name, shape, part } of engine.plan.parameters.all.values()) {
    const width = numel(shape) / shape[0]!;
    // Whole blocks of any type.
    const rows = Math.max(64, Math.floor(block.length / width / 64) * 64);
    for (let row = 0; row < shape[0]!; row += rows) {
      const count = Math.min(rows, shape[0]! - row) * width;
      const isNorm = part === "weight" && shape.length === 1;
      engine.writeParameter(name, isNorm ? new Float32Array(count).fill(1) : block.subarray(0, count), row);
    }
  }
  await engine.session.flush();
}

/** Starts PyTorch with the same model and batch size, rows padded to the maximum length, as in the paper's program. */
async function startTorch(
  torch: Dialogue,
  { model, mode, maxLength, batchSize }: Pick<StepBenchOptions, "model" | "mode" | "maxLength" | "batchSize">,
  { kind, software }: DeviceInfo,
): Promise<TorchResult> {
  const gpu = kind === "webgpu" && !software;
  const job = { ...CONFIGS[model], mode, r: 8, alpha: 16, rows: batchSize, length: maxLength, gpu };
  const about = await torch.begin<Omit<TorchResult, "times" | "cpu" | "peak">>(job, "PyTorch", "torch");
  return { ...about, times: [], cpu: 0, peak: 0 };
}

async function stepTorch(torch: Dialogue, result: TorchResult): Promise<void> {
  const { time, cpu, peak } = await torch.ask<{ time: number; cpu: number; peak: number }>("step");
  result.cpu += (cpu - result.cpu) / result.times.push(time);
  result.peak = peak;
}

function report(options: StepBenchOptions, ours: StepResult, torch: TorchResult | null): string {
  const { model, mode, dtype, recompute, padding, batchSize } = options;
  const { median, low, high, best } = measureSpread(ours.times);
  const { profile, yardsticks } = ours;
  const lines = [
    `${model}, ${METHODS[mode].title}${dtype === "f32" ? "" : `, base model in ${dtype}`}${recompute ? ", recomputation" : ""}, ${batchSize} messages per step, ${padding === undefined ? "packed" : `padded to ${padding}`}: ` +
      `${ours.tokens.toFixed(0)} tokens per step`,
    `step:   ${median.toFixed(1)} ms (${low.toFixed(1)} to ${high.toFixed(1)}), best ${best.toFixed(1)} ms, ` +
      `${ours.cpu.toFixed(1)} ms CPU time`,
    `plan:   ${profile.dispatches} dispatches per step; ${profile.dispatchesPerSecond.toFixed(0)} dispatches/s, ` +
      `${profile.ms.median.toFixed(1)} ms per step with ${profile.steps} in one submission`,
    `speed:  ${((1000 * ours.tokens) / median).toFixed(0)} tokens/s, ${(ours.flops / median / 1e6).toFixed(1)} GFLOP/s in matrix products ` +
      `(${(ours.flops / 1e9).toPrecision(3)} GFLOP per step)`,
    `memory: ${formatBytes(ours.planned)} planned, ${formatBytes(ours.peak)} peak resident set size`,
  ];
  if (torch) lines.push(...compare(options, ours, torch));
  if (yardsticks) lines.push(`device: ${describeYardsticks(yardsticks)}`);
  if (profile.kernels.length > 0) lines.push(renderTable(kernelColumns(yardsticks !== null), profile.kernels));
  return lines.join("\n");
}

function compare({ maxLength }: StepBenchOptions, ours: StepResult, torch: TorchResult): string[] {
  const { median, low, high, best } = measureSpread(torch.times);
  const us = measureSpread(ours.times);
  const threads = torch.threads === 1 ? "1 thread" : `${torch.threads} threads`;
  const on = torch.device === "CPU" ? `${torch.blas}, ${threads}` : torch.device;
  return [
    `alternating with PyTorch ${torch.version} (${on}), padded to ${maxLength}:`,
    `step:   ${median.toFixed(1)} ms (${low.toFixed(1)} to ${high.toFixed(1)}), best ${best.toFixed(1)} ms, ` +
      `${torch.cpu.toFixed(1)} ms CPU time`,
    `memory: ${formatBytes(torch.peak)} peak resident set size`,
    `ratio:  ${(us.median / median).toFixed(2)} x PyTorch's median time, ${(us.best / best).toFixed(2)} x its best, ` +
      `${(ours.cpu / torch.cpu).toFixed(2)} x its CPU time`,
  ];
}
