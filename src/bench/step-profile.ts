/** The kernels of a training step: their times, and how far they are from what the device can do. */

import type { Backend } from "../backend/backend.ts";
import { panelTensors } from "../backend/panels.ts";
import { chooseOperation } from "../backend/wasm-list.ts";
import { chooseShader } from "../backend/webgpu-shaders.ts";
import { MOST_TIMED } from "../backend/webgpu-timer.ts";
import type { ModelConfig } from "../core/config.ts";
import { digits } from "../core/format.ts";
import type { WeightDtype } from "../core/tensor.ts";
import type { RowColumn } from "../document/blocks.ts";
import { Engine, packWork } from "../engine/engine.ts";
import type { Mode } from "../methods/index.ts";
import { methodConfig } from "../methods/training.ts";
import { AdamW } from "../model/adamw.ts";
import { type Batch, targetWeight } from "../model/batch.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Dispatch } from "../ops/kernel.ts";
import type { SegmentName } from "../plan/plan.ts";
import { dispatchWork } from "../plan/work.ts";
import { DEFAULTS } from "../train/options.ts";
import { measureSpread, type Spread } from "./spread.ts";
import { kernelTimes, type Work, wallTime } from "./timing.ts";
import type { Yardsticks } from "./yardsticks.ts";

const STEP: readonly SegmentName[] = ["zero", "forward", "backward", "update"];
const LR = 5e-5;
export const STEP_OPTIMIZER = new AdamW({ betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.1, clip: 0 });

/** The model of a measured step: two classes, and train's default sizes. */
export function stepSpec(config: ModelConfig, mode: Mode, dtype: WeightDtype): ModelSpec {
  return {
    config,
    task: { objective: "classification", num_labels: 2, pooling: "last-token", head_bias: true },
    mode,
    train_head: true,
    lora: null,
    ...methodConfig({ ...DEFAULTS, mode }),
    dtype,
  };
}

/** An engine for steps with batches of at most these sizes; its parameters are zero. */
export function stepEngine(
  device: Backend,
  spec: ModelSpec,
  tokens: number,
  sequences: number,
  recompute = false,
): Promise<Engine> {
  return Engine.create(device, { spec, capacity: { tokens, sequences }, optimizer: STEP_OPTIMIZER, recompute });
}

/** Milliseconds of one step, until its loss has been read. */
export async function stepTime(engine: Engine, batch: Batch): Promise<{ ms: number; loss: number }> {
  const started = performance.now();
  const { loss } = await engine.result(engine.step([batch], LR)[0]!);
  return { ms: performance.now() - started, loss };
}

/** A kernel in a step, and its dispatches together. */
interface KernelFigures {
  name: string;
  dispatches: number;
  /** Milliseconds a step. */
  ms: number;
  /** Of the time of all kernels. */
  share: number;
  /** Null where they do not follow from the dispatches. GB/s count each tensor once. */
  gflops: number | null;
  gbs: number | null;
  /** Shares of the device's rates; null on the CPU. */
  ofMultiplyAdd: number | null;
  ofCopy: number | null;
}

export interface StepProfile {
  dispatches: number;
  /** Steps in one submission, and milliseconds of each of them. */
  steps: number;
  ms: Spread;
  dispatchesPerSecond: number;
  /** The slowest first; empty if the device does not time kernels. */
  kernels: KernelFigures[];
}

/** A table of kernels; `isCompared`: with the device's rates. */
export function kernelColumns(isCompared: boolean): RowColumn<KernelFigures>[] {
  const percent = (share: number | null) => share && 100 * share;
  const columns: RowColumn<KernelFigures>[] = [
    { title: "kernel", value: ({ name }) => name },
    { title: "dispatches", value: ({ dispatches }) => dispatches },
    { title: "ms", value: ({ ms }) => ms, format: digits(2) },
    { title: "share, %", value: ({ share }) => percent(share), format: digits(1) },
    { title: "GFLOP/s", value: ({ gflops }) => gflops, format: digits(1) },
    { title: "of multiply-add, %", value: ({ ofMultiplyAdd }) => percent(ofMultiplyAdd), format: digits(1) },
    { title: "GB/s", value: ({ gbs }) => gbs, format: digits(1) },
    { title: "of copy, %", value: ({ ofCopy }) => percent(ofCopy), format: digits(1) },
  ];
  return columns.filter(({ title }) => isCompared || !title!.startsWith("of "));
}

/** About how long a submission of steps takes. */
const SUBMISSION_MS = 500;
const ROUNDS = 3;

/** Measures steps of an engine that has taken some, with one batch, which fills its capacity. */
export async function profileStep(
  { info }: Backend,
  engine: Engine,
  batch: Batch,
  yardsticks: Yardsticks | null,
): Promise<StepProfile> {
  const { plan, session } = engine;
  const staging = new Uint32Array(plan.batch.root.size);
  // AdamW runs, but with a step size of 0, so that every step is the same.
  const update = { decay: 1, lr_decay: 0, step_size: 0, correction2: 1 };
  const values = packWork(plan, staging, { batch, loss_scale: 1 / targetWeight(batch), update });
  session.write(plan.batch.root, staging);
  const work: Work = { session, segments: STEP, values, result: plan.metrics, copies: 1 };
  const dispatches = STEP.flatMap((name) => plan.segments.find((segment) => segment.name === name)?.dispatches ?? []);

  const single = await wallTime(work, 1);
  const rounds = single < SUBMISSION_MS ? ROUNDS : 1;
  const most = Math.max(1, Math.floor(MOST_TIMED / dispatches.length));
  const steps = Math.min(most, Math.max(1, Math.round(SUBMISSION_MS / single)));
  const walls: number[] = [];
  const times = new Map<string, number>();
  for (let i = 0; i < rounds; i++) {
    walls.push((await wallTime(work, steps)) / steps);
    // Separately: a device that times its kernels runs each in a pass of its own.
    for (const [name, ms] of await kernelTimes(work, steps))
      times.set(name, (times.get(name) ?? 0) + ms / steps / rounds);
  }

  const panels = panelTensors(plan);
  const label = (dispatch: Dispatch) =>
    info.kind === "webgpu" ? chooseShader(dispatch).name : chooseOperation(dispatch, panels);
  const total = [...times.values()].reduce((sum, ms) => sum + ms, 0);
  const kernels = [...times].map(([name, ms]): KernelFigures => {
    const works = dispatches.filter((dispatch) => label(dispatch) === name).map((one) => dispatchWork(one, values));
    const rate = (amounts: (number | null)[]) => {
      const known = amounts.filter((amount) => amount !== null);
      // Per millisecond and million: giga per second.
      return known.length === 0 || ms === 0 ? null : known.reduce((sum, amount) => sum + amount, 0) / ms / 1e6;
    };
    const gflops = rate(works.map(({ flops }) => flops));
    const gbs = rate(works.map(({ bytes }) => bytes));
    return {
      name,
      dispatches: works.length,
      ms,
      share: ms / total,
      gflops,
      gbs,
      ofMultiplyAdd: yardsticks && gflops !== null ? gflops / yardsticks.multiplyAdd : null,
      ofCopy: yardsticks && gbs !== null ? gbs / yardsticks.copy : null,
    };
  });
  const ms = measureSpread(walls);
  return {
    dispatches: dispatches.length,
    steps,
    ms,
    dispatchesPerSecond: (1000 * dispatches.length) / ms.median,
    kernels: kernels.sort((a, b) => b.ms - a.ms),
  };
}
