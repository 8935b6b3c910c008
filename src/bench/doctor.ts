/**
 * What `doctor` finds out of a device, as plain JSON: what it is, and for each kind of work what its check found and how
 * long it takes. The check is the one before a device is used (engine/check-work.ts).
 */

import { version } from "../../package.json";
import { listGPUs } from "../backend/adapters.ts";
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import { type Compared, shaderOf } from "../backend/compare.ts";
import { DeviceError, LowrankError } from "../core/errors.ts";
import { COMMON_DTYPES, type WeightDtype } from "../core/tensor.ts";
import { compareWork, engineWork, measure, type Work } from "../engine/check-work.ts";
import { Decoder } from "../engine/decoder.ts";
import { Engine } from "../engine/engine.ts";
import { NO_ADAPTERS } from "../infer/no-adapter.ts";
import { BASE_TASK } from "../infer/text/decoding.ts";
import { generationWork } from "../infer/text/generation-check.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import { trainingOf } from "../train/device.ts";
import { CONFIGS, type ShapeName } from "./shapes.ts";
import { STEP_OPTIMIZER, stepSpec } from "./step-profile.ts";
import { type Latency, measureLatency, measureYardsticks, type Yardsticks } from "./yardsticks.ts";

/** Work with a model of a shape, with LoRA and weights of a type. */
export interface Case {
  work: Work["name"];
  model: ShapeName;
  dtype: WeightDtype;
}

/** The largest error of a shader in a check. */
export interface CheckedShader extends Compared {
  shader: string;
  /** How often it was compared. */
  comparisons: number;
}

export interface Examined extends Case {
  /** Wrong ones first, then by error; of the CPU, which they are compared with, none. */
  shaders: CheckedShader[];
  /** Milliseconds of the first, a middle and the last block. */
  ms: number;
  /** The CPU's; null where it is the device. */
  cpu: number | null;
}

/** A GPU of the machine, with all that it says of itself. */
interface GPUFacts {
  name: string;
  backend: string;
  software: boolean;
  features: string[];
  limits: Record<string, number>;
}

export interface DoctorReport {
  /** Marks the file: only such a one is replaced. */
  kind: "lowrank-doctor";
  lowrank: string;
  date: string;
  /** What is known of it. */
  machine: Readonly<Record<string, string | number | boolean>>;
  device: DeviceInfo;
  limits: MemoryLimits;
  gpus: GPUFacts[];
  /** Why there is no GPU. */
  noGPU?: string;
  /** Whether everything was examined, and what was not. */
  state: "finished" | "interrupted" | "out of time" | "device lost";
  leftOut: string[];
  seconds: number;
  yardsticks: Yardsticks | null;
  latency: Latency | null;
  examined: Examined[];
  /** What failed, with the error. */
  failures: { what: string; code: string; message: string }[];
}

export async function newReport(
  { info: device, limits }: Backend,
  machine: DoctorReport["machine"],
): Promise<DoctorReport> {
  const facts = await gpuFacts().catch((error) => {
    if (error instanceof DeviceError) return error.message;
    throw error;
  });
  return {
    kind: "lowrank-doctor",
    lowrank: version,
    date: new Date().toISOString(),
    machine,
    device,
    limits: { ...limits },
    ...(typeof facts === "string" ? { gpus: [], noGPU: facts } : { gpus: facts }),
    state: "finished",
    leftOut: [],
    seconds: 0,
    yardsticks: null,
    latency: null,
    examined: [],
    failures: [],
  };
}

async function gpuFacts(): Promise<GPUFacts[]> {
  return (await listGPUs()).map(({ name, backend, adapter, isSoftware: software }) => {
    const limits: Record<string, number> = {};
    // They are properties of the prototype.
    for (const key in adapter?.limits) limits[key] = Number(adapter.limits[key as keyof GPUSupportedLimits]);
    return { name, backend, software, features: [...(adapter?.features ?? [])].sort(), limits };
  });
}

/** Whether all that was compared is right, and nothing failed. */
export const isWell = ({ examined, failures }: DoctorReport) =>
  failures.length === 0 && examined.every(({ shaders }) => shaders.every(({ isRight }) => isRight));

/** As JSON; NaN and infinite errors are texts. */
export const asJson = (report: DoctorReport) =>
  JSON.stringify(report, (_, value) => (typeof value === "number" && !Number.isFinite(value) ? `${value}` : value), 1);

const WORKS = ["training", "classification", "generation"] as const;

/** "training, gpt2-small, q4". */
export const caseTitle = ({ work, model, dtype }: Case) => `${work}, ${model}, ${dtype}`;

/** What is examined, the small first: a slow device may have no time for more. A software driver is very slow. */
export function listCases({ kind, software }: DeviceInfo): Case[] {
  const types = (model: ShapeName, dtypes: readonly WeightDtype[] = ["f32"]) =>
    dtypes.flatMap((dtype) => WORKS.map((work): Case => ({ work, model, dtype })));
  const micro = types("gpt2-micro", ["f32", "q4"]);
  if (kind === "webgpu" && software) return micro;
  return [...micro, ...types("gpt2-small", COMMON_DTYPES), ...types("smollm2-135m"), ...types("gpt2-xl")];
}

/** Tokens and sequences of a plan, by which shaders are chosen. Nothing of this size is allocated. */
const CAPACITY = { tokens: 4096, sequences: 32 };

function workOf(device: Backend, { work, model, dtype }: Case): Work {
  const config = CONFIGS[model];
  const spec = stepSpec(config, "lora", dtype);
  if (work === "generation") {
    const written = { config, task: BASE_TASK, ...NO_ADAPTERS, train_head: false, dtype };
    const plan = Decoder.plan(device, { spec: written, capacity: { tokens: 512, sequences: 2 } });
    return generationWork(device, plan, Decoder);
  }
  const options = { spec, capacity: CAPACITY, optimizer: null };
  if (work === "classification") return engineWork(device, options, [Engine.plan(device, options)]);
  const step = { ...options, optimizer: STEP_OPTIMIZER };
  return trainingOf(device, { ...step, dropout: undefined, valueLoss: undefined, plan: Engine.plan(device, step) });
}

export async function examine(device: Backend, cpu: Backend, one: Case): Promise<Examined> {
  const shaders = new Map<string, CheckedShader>();
  const work = workOf(device, one);
  if (device.info.kind === "webgpu")
    await compareWork(device, cpu, work, (compared) => {
      const shader = shaderOf(compared);
      const before = shaders.get(shader);
      const worst = before && before.error >= compared.error ? before : { shader, ...compared };
      shaders.set(shader, { ...worst, comparisons: (before?.comparisons ?? 0) + 1 });
    });
  return {
    ...one,
    shaders: [...shaders.values()].sort((a, b) => Number(a.isRight) - Number(b.isRight) || b.error - a.error),
    ms: await measure(device, work),
    cpu: device === cpu ? null : await measure(cpu, work),
  };
}

/** One step of the examination, which adds what it finds to the report. */
export type Step = readonly [what: string, run: () => Promise<void>];

export function listSteps(device: Backend, cpu: Backend, report: DoctorReport): Step[] {
  const rates = async () => {
    report.yardsticks = await measureYardsticks(device);
  };
  const latency = async () => {
    report.latency = await measureLatency(device);
  };
  return [
    ["copy and multiply-add rates", rates],
    ["what a dispatch and a readback cost", latency],
    ...listCases(device.info).map(
      (one): Step => [caseTitle(one), async () => void report.examined.push(await examine(device, cpu, one))],
    ),
  ];
}

/** Runs steps one after the other, until `signal` is aborted or the device is lost. A failure is reported. */
export async function runSteps(
  report: DoctorReport,
  steps: readonly Step[],
  signal: AbortSignal,
  onProgress: (done: number, what: string) => void,
): Promise<void> {
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve());
  });
  let done = 0;
  for (const [what, run] of steps) {
    if (signal.aborted || report.state === "device lost") break;
    onProgress(done, what);
    // A device that hangs is left, too.
    const error = await Promise.race([aborted, run().catch((error: Error) => error)]);
    if (signal.aborted) break;
    done++;
    if (error) report.failures.push(describeFailure(what, error));
    if (error instanceof DeviceError && error.code === "device-lost") report.state = "device lost";
  }
  report.leftOut = steps.slice(done).map(([what]) => what);
}

/** An error that is not ours is a bug, or memory that ran out. */
function describeFailure(what: string, error: Error): DoctorReport["failures"][number] {
  const isOurs = error instanceof LowrankError;
  return { what, code: isOurs ? error.code : error.name, message: isOurs ? error.message : `${error.stack}` };
}
