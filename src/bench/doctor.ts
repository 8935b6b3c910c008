/** What `doctor` finds out of a device: what it is, whether it is right, how fast it is. One report, as plain JSON. */
import { version } from "../../package.json";
import { listGPUs } from "../backend/adapters.ts";
import type { Backend } from "../backend/backend.ts";
import { listShaders } from "../backend/webgpu-shaders.ts";
import { WEIGHT_DTYPES, type WeightDtype } from "../config.ts";
import { DeviceError, LowrankError } from "../errors.ts";
import { loadModel } from "../io/hf.ts";
import { SafetensorsFile } from "../io/safetensors.ts";
import { KERNELS } from "../ops/generated/kernels.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import type { FileReader } from "../platform/reader.ts";
import { type Comparison, passes, runGolden } from "../verify/golden.ts";
import { measureAttention } from "./attention.ts";
import { type DeviceRates, productSize } from "./blocks.ts";
import { type ExampleStep, measureMicroStep, measureStep } from "./example-step.ts";
import { inWords, measureGeneration } from "./generation.ts";
import { type MembersFigures, measureMembers } from "./members.ts";
import { isSoftwareDriver, measureProduct, productsFor } from "./products.ts";
import { type CheckedPlan, type CheckedShader, checkShaders, plansFor, planTitle } from "./shader-check.ts";
import { CONFIGS, randomCheckpoint, type ShapeName } from "./shapes.ts";
import type { TorchResult } from "./step.ts";
import { measureLatency, measureYardsticks } from "./yardsticks.ts";

/** A model with weights of a type. */
interface Shape {
  model: ShapeName;
  dtype: WeightDtype;
}

/** A GPU of the machine, with all that it says of itself. */
interface GPUFacts {
  name: string;
  backend: string;
  software: boolean;
  features: string[];
  limits: Record<string, number>;
}

export interface Fixture {
  case: string;
  tensors: number;
  /** The tensor whose error is nearest to its tolerance, or the furthest beyond it. */
  worst: Comparison;
}

export interface DoctorReport extends DeviceRates {
  /** Marks the file: only such a one is replaced. */
  kind: "lowrank-doctor";
  lowrank: string;
  date: string;
  /** What is known of it. */
  machine: Readonly<Record<string, string | number | boolean>>;
  limits: MemoryLimits;
  gpus: GPUFacts[];
  /** Why there is no GPU. */
  noGPU?: string;
  /** Whether everything was measured, and what was not. */
  state: "finished" | "interrupted" | "out of time" | "device lost";
  leftOut: string[];
  seconds: number;
  shaders: CheckedShader[];
  /** Shaders in none of the plans that were checked. */
  unchecked: string[];
  fixtures: Fixture[];
  steps: (Shape & { step: ExampleStep; torch?: TorchResult })[];
  generation: (Shape & { first: number; tokensPerSecond: number; planned: number })[];
  adapters: (MembersFigures & { model: ShapeName })[];
  /** What failed, with the error. */
  failures: { what: string; code: string; message: string }[];
  /** Bytes of this process at its largest. */
  peak: number;
}

/** One of the measurements, which adds what it finds to the report. */
export interface Measurement {
  what: string;
  run(signal: AbortSignal): Promise<void>;
}

/** What surrounds a device, which differs between Node and a page. */
export interface Surroundings {
  machine: DoctorReport["machine"];
  /** PyTorch's results. */
  fixtures: readonly { name: string; open(): Promise<FileReader> }[];
  /** PyTorch's step of a model; null: there is no PyTorch. A page has none. */
  measureTorch?: (model: ShapeName, device: DoctorReport["device"], signal: AbortSignal) => Promise<TorchResult | null>;
}

export async function newReport(
  { info: device, limits }: Backend,
  { machine }: Pick<Surroundings, "machine">,
): Promise<DoctorReport> {
  const facts = await gpuFacts().catch((error) => {
    if (error instanceof DeviceError) return error.message;
    throw error;
  });
  return {
    ...{ kind: "lowrank-doctor", lowrank: version, date: new Date().toISOString(), machine },
    ...{ device, limits: { ...limits } },
    ...(typeof facts === "string" ? { gpus: [], noGPU: facts } : { gpus: facts }),
    ...{ state: "finished", leftOut: [], seconds: 0, shaders: [], unchecked: [], fixtures: [], yardsticks: null },
    ...{ latency: null, products: [], attention: [], steps: [], generation: [], adapters: [], failures: [], peak: 0 },
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
export const isWell = ({ shaders, fixtures, failures }: DoctorReport) =>
  failures.length === 0 && shaders.every(({ isRight }) => isRight) && fixtures.every(({ worst }) => passes(worst));

/** As JSON; NaN and infinite errors are texts. */
export const asJson = (reports: DoctorReport | readonly DoctorReport[]) =>
  JSON.stringify(reports, (_, value) => (typeof value === "number" && !Number.isFinite(value) ? `${value}` : value), 1);

/** Runs measurements in turn, until `signal` is aborted or the device is lost. One that fails is reported. */
export async function runMeasurements(
  report: DoctorReport,
  measurements: readonly Measurement[],
  signal: AbortSignal,
  onProgress: (done: number, what: string) => void,
): Promise<void> {
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve());
  });
  let done = 0;
  for (const { what, run } of measurements) {
    if (signal.aborted || report.state === "device lost") break;
    onProgress(done, what);
    // Not only `run`: a device that hangs is left, too.
    const error = await Promise.race([aborted, run(signal).catch((error: Error) => error)]);
    if (signal.aborted) break;
    done++;
    if (error) report.failures.push(describeFailure(what, error));
    if (error instanceof DeviceError && error.code === "device-lost") report.state = "device lost";
  }
  report.leftOut = measurements.slice(done).map(({ what }) => what);
  const checked = new Set(report.shaders.map(({ shader }) => shader));
  if (checked.size > 0)
    report.unchecked = KERNELS.flatMap(listShaders).flatMap(({ name }) => (checked.has(name) ? [] : [name]));
}

/** An error that is not ours is a bug, or memory that ran out. */
function describeFailure(what: string, error: Error): DoctorReport["failures"][number] {
  const isOurs = error instanceof LowrankError;
  return { what, code: isOurs ? error.code : error.name, message: isOurs ? error.message : `${error.stack}` };
}

const MEMBERS = 16;
const ROUNDS = 5;

/** The measurements of a device, those that matter most first. A software driver, which is slow, has fewer of them. */
export function listMeasurements(
  device: Backend,
  cpu: Backend,
  report: DoctorReport,
  { fixtures, measureTorch }: Surroundings,
): Measurement[] {
  const isSlow = isSoftwareDriver(device.info);
  const isGPU = device.info.kind === "webgpu";
  const shapes: Shape[] = [
    { model: "gpt2-micro", dtype: "f32" },
    ...WEIGHT_DTYPES.map((dtype): Shape => ({ model: "gpt2-small", dtype })),
  ];
  const measured = isSlow ? shapes.slice(0, 1) : shapes;
  const messages = isSlow ? 2 : 8;
  /** The small ones come first: a slow GPU may have no time for more. */
  const checks = (...models: ShapeName[]) =>
    (isGPU ? plansFor(device.info) : [])
      .filter(({ model }) => models.includes(model))
      .map((plan) => shaderCheck(device, cpu, plan, report));
  return [
    ...checks("gpt2-micro"),
    ...fixtures.map((one) => fixture(device, one, report)),
    ...(isGPU ? [yardsticks(device, report)] : []),
    latency(device, report),
    ...checks("gpt2-small", "smollm2-135m"),
    ...measured.map((shape) => step(device, shape, messages, report)),
    ...measured.map((shape) => generation(device, shape, isSlow ? 8 : 32, report)),
    ...productsFor(device.info).map((product) => ({
      what: `product ${product.name}, ${productSize(product)}`,
      run: async () => {
        const [gflops] = await measureProduct([device], product, ROUNDS);
        report.products.push({ ...product, gflops: gflops! });
      },
    })),
    ...(isSlow ? [128] : [256, 1024]).map((tokens) => ({
      what: `attention over ${tokens} tokens`,
      run: async () => void report.attention.push(...(await measureAttention(device, tokens, ROUNDS))),
    })),
    ...(isGPU
      ? measured.filter(({ dtype }) => dtype === "f32").map(({ model }) => members(device, model, messages, report))
      : []),
    ...checks("gpt2-xl"),
    ...(isSlow || !measureTorch
      ? []
      : measured.filter(({ dtype }) => dtype === "f32").map((shape) => torch(shape, measureTorch, report))),
  ];
}

const titled = ({ model, dtype }: Shape) => `${model}${dtype === "f32" ? "" : ` in ${dtype}`}`;

function shaderCheck(device: Backend, cpu: Backend, plan: CheckedPlan, report: DoctorReport): Measurement {
  return {
    what: `shaders of ${planTitle(plan)}`,
    run: async () => void report.shaders.push(...(await checkShaders(device, cpu, plan))),
  };
}

function fixture(device: Backend, file: Surroundings["fixtures"][number], report: DoctorReport): Measurement {
  return {
    what: `fixture ${file.name}`,
    run: async () => {
      const reader = await file.open();
      const result = await SafetensorsFile.open(reader)
        .then((file) => runGolden(file, device))
        .finally(() => reader.close());
      const ratio = ({ error, tolerance }: Comparison) => (Number.isNaN(error) ? Infinity : error / tolerance);
      const worst = result.comparisons.reduce((a, b) => (ratio(b) > ratio(a) ? b : a));
      report.fixtures.push({ case: result.case, tensors: result.comparisons.length, worst });
    },
  };
}

function yardsticks(device: Backend, report: DoctorReport): Measurement {
  return {
    what: "copy and multiply-add rates",
    run: async () => {
      report.yardsticks = await measureYardsticks(device);
    },
  };
}

function latency(device: Backend, report: DoctorReport): Measurement {
  return {
    what: "what a dispatch and a readback cost",
    run: async () => {
      report.latency = await measureLatency(device);
    },
  };
}

function step(device: Backend, shape: Shape, messages: number, report: DoctorReport): Measurement {
  const { model, dtype } = shape;
  return {
    what: `a step of ${titled(shape)}`,
    run: async () => {
      const measured =
        model === "gpt2-micro"
          ? measureMicroStep(device, messages, report.yardsticks)
          : measureStep(device, randomCheckpoint(CONFIGS[model]), { dtype, messages }, report.yardsticks);
      report.steps.push({ ...shape, step: await measured });
    },
  };
}

function generation(device: Backend, shape: Shape, tokens: number, report: DoctorReport): Measurement {
  return {
    what: `generation with ${titled(shape)}`,
    run: async () => {
      const options = { ...shape, prompts: 1, length: 32, tokens, rounds: 2 };
      const { rounds, planned } = await measureGeneration(device, options);
      const { first, speed } = inWords(rounds, options);
      report.generation.push({ ...shape, first, tokensPerSecond: speed, planned });
    },
  };
}

function members(device: Backend, model: ShapeName, messages: number, report: DoctorReport): Measurement {
  return {
    what: `${MEMBERS} adapters of ${model} in one plan`,
    run: async () => {
      const base = model === "gpt2-micro" ? await loadModel(model) : randomCheckpoint(CONFIGS[model]);
      const figures = await measureMembers(device, base, MEMBERS, messages).finally(() => base.close());
      report.adapters.push({ model, ...figures });
    },
  };
}

/** PyTorch's step beside ours. Without PyTorch there is none, which is no failure. */
function torch(
  shape: Shape,
  measureTorch: NonNullable<Surroundings["measureTorch"]>,
  report: DoctorReport,
): Measurement {
  return {
    what: `PyTorch's step of ${shape.model}`,
    run: async (signal) => {
      const ours = report.steps.find(({ model, dtype }) => model === shape.model && dtype === shape.dtype);
      const found = ours && (await measureTorch(shape.model, report.device, signal));
      if (found) ours.torch = found;
    },
  };
}
