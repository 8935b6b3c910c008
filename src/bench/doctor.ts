/** What `doctor` finds out of a device: what it is, whether it is right, how fast it is. One report, as plain JSON. */

import { version } from "../../package.json";
import { listGPUs } from "../backend/adapters.ts";
import type { Backend, DeviceInfo } from "../backend/backend.ts";
import type { Compared } from "../backend/compare.ts";
import type { ModelConfig } from "../config.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { compareWork, randomCheckpoint, type Work } from "../engine/check-work.ts";
import { Decoder } from "../engine/decoder.ts";
import { Engine } from "../engine/engine.ts";
import { initialize } from "../engine/initial.ts";
import { loadBase } from "../engine/state.ts";
import { DeviceError, LowrankError } from "../errors.ts";
import { NO_ADAPTERS } from "../infer/several-adapters.ts";
import { BASE_TASK } from "../infer/text/decoding.ts";
import { generate } from "../infer/text/generation.ts";
import { generationWork } from "../infer/text/generation-check.ts";
import { type BaseModel, loadModel } from "../io/hf.ts";
import { type MemoryLimits, memoryTotals } from "../plan/memory.ts";
import { COMMON_DTYPES, type WeightDtype } from "../tensor.ts";
import { trainingOf } from "../train/device.ts";
import { CONFIGS, type ShapeName } from "./shapes.ts";
import { measureSpread, type Spread } from "./spread.ts";
import {
  exampleBatch,
  profileStep,
  STEP_OPTIMIZER,
  type StepProfile,
  stepEngine,
  stepSpec,
  stepTime,
} from "./step-profile.ts";
import { type Latency, measureLatency, measureYardsticks, type Yardsticks } from "./yardsticks.ts";

/** A model with weights of a type. */
interface Shape {
  model: ShapeName;
  dtype: WeightDtype;
}

/** What shaders are checked for: a step of LoRA or of full fine-tuning; generation. */
type Purpose = "lora" | "all" | "generation";

interface CheckedPlan extends Shape {
  purpose: Purpose;
}

/** A shader in a plan: the dispatch with its largest error. */
export interface CheckedShader extends CheckedPlan, Omit<Compared, "pipeline"> {
  shader: string;
  /** How often it was compared. */
  comparisons: number;
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
  /** Whether everything was measured, and what was not. */
  state: "finished" | "interrupted" | "out of time" | "device lost";
  leftOut: string[];
  seconds: number;
  shaders: CheckedShader[];
  yardsticks: Yardsticks | null;
  latency: Latency | null;
  steps: (Shape & { step: ExampleStep })[];
  generation: (Shape & { first: number; tokensPerSecond: number; planned: number })[];
  /** What failed, with the error. */
  failures: { what: string; code: string; message: string }[];
}

/** One of the measurements, which adds what it finds to the report. */
export interface Measurement {
  what: string;
  run(): Promise<void>;
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
    shaders: [],
    yardsticks: null,
    latency: null,
    steps: [],
    generation: [],
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
export const isWell = ({ shaders, failures }: DoctorReport) =>
  failures.length === 0 && shaders.every(({ isRight }) => isRight);

/** As JSON; NaN and infinite errors are texts. */
export const asJson = (reports: DoctorReport | readonly DoctorReport[]) =>
  JSON.stringify(reports, (_, value) => (typeof value === "number" && !Number.isFinite(value) ? `${value}` : value), 1);

/** Runs measurements one after the other, until `signal` is aborted or the device is lost. A failure is reported. */
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
    // A device that hangs is left, too.
    const error = await Promise.race([aborted, run().catch((error: Error) => error)]);
    if (signal.aborted) break;
    done++;
    if (error) report.failures.push(describeFailure(what, error));
    if (error instanceof DeviceError && error.code === "device-lost") report.state = "device lost";
  }
  report.leftOut = measurements.slice(done).map(({ what }) => what);
}

/** An error that is not ours is a bug, or memory that ran out. */
function describeFailure(what: string, error: Error): DoctorReport["failures"][number] {
  const isOurs = error instanceof LowrankError;
  return { what, code: isOurs ? error.code : error.name, message: isOurs ? error.message : `${error.stack}` };
}

/** A software driver is slow, and its speed means little. */
const isSoftwareDriver = ({ kind, software }: DeviceInfo) => kind === "webgpu" && software;

export function listMeasurements(device: Backend, cpu: Backend, report: DoctorReport): Measurement[] {
  const isSlow = isSoftwareDriver(device.info);
  const isGPU = device.info.kind === "webgpu";
  const micro: Shape = { model: "gpt2-micro", dtype: "f32" };
  const small = COMMON_DTYPES.map((dtype): Shape => ({ model: "gpt2-small", dtype }));
  const shapes = isSlow ? [micro] : [micro, ...small];
  // The small ones come first: a slow GPU may have no time for more.
  const checks = (...models: ShapeName[]) =>
    (isGPU ? plansFor(device.info) : [])
      .filter(({ model }) => models.includes(model))
      .map((plan) => ({
        what: `shaders of ${planTitle(plan)}`,
        run: async () => void report.shaders.push(...(await checkShaders(device, cpu, plan))),
      }));
  return [
    ...checks("gpt2-micro"),
    {
      what: "copy and multiply-add rates",
      run: async () => {
        report.yardsticks = await measureYardsticks(device);
      },
    },
    {
      what: "what a dispatch and a readback cost",
      run: async () => {
        report.latency = await measureLatency(device);
      },
    },
    ...checks("gpt2-small", "smollm2-135m"),
    ...shapes.map((shape) => ({
      what: `a step of ${shapeTitle(shape)}`,
      run: async () => void report.steps.push({ ...shape, step: await step(device, shape, report.yardsticks) }),
    })),
    ...shapes.map((shape) => ({
      what: `generation with ${shapeTitle(shape)}`,
      run: async () => {
        const options = { ...shape, length: 32, tokens: isSlow ? 8 : 32, rounds: 2 };
        report.generation.push({ ...shape, ...(await measureGeneration(device, options)) });
      },
    })),
    ...checks("gpt2-xl"),
  ];
}

const shapeTitle = ({ model, dtype }: Shape) => `${model}${dtype === "f32" ? "" : ` in ${dtype}`}`;

/** With random weights, unless the model is bundled. */
async function step(device: Backend, { model, dtype }: Shape, yardsticks: Yardsticks | null): Promise<ExampleStep> {
  const messages = isSoftwareDriver(device.info) ? 2 : 8;
  const base = model === "gpt2-micro" ? await loadModel(model) : randomCheckpoint(CONFIGS[model]);
  return measureStep(device, base, { dtype, messages }, yardsticks).finally(() => base.close());
}

const TITLES: Record<Purpose, string> = {
  lora: "a step of LoRA",
  all: "a step of full fine-tuning",
  generation: "generation",
};

/** "a step of LoRA, gpt2-small, q4". */
export const planTitle = ({ model, purpose, dtype }: CheckedPlan) => `${TITLES[purpose]}, ${model}, ${dtype}`;

/** The plans that are checked on a device: on a software driver, which is slow, some of the smallest model. */
function plansFor(device: DeviceInfo): CheckedPlan[] {
  const isSlow = isSoftwareDriver(device);
  const models = isSlow
    ? (["gpt2-micro"] as const)
    : (["gpt2-micro", "gpt2-small", "smollm2-135m", "gpt2-xl"] as const);
  const plans = models.flatMap((model): CheckedPlan[] => {
    const types = model === "gpt2-micro" ? (["f32", "q4"] as const) : COMMON_DTYPES;
    const of = (purpose: Purpose) => types.map((dtype) => ({ model, purpose, dtype }));
    return [...of("lora"), ...of("generation")];
  });
  return isSlow ? plans : [...plans, { model: "gpt2-small", purpose: "all", dtype: "f32" }];
}

/** Tokens and sequences of a plan, by which shaders are chosen. Nothing of this size is allocated. */
const CAPACITY = { tokens: 4096, sequences: 32 };

/** Checks a device as before work with such a model; the shaders with the largest errors first. */
export async function checkShaders(device: Backend, cpu: Backend, plan: CheckedPlan): Promise<CheckedShader[]> {
  const shaders = new Map<string, CheckedShader>();
  const onCompared = ({ pipeline, ...compared }: Compared) => {
    const shader = pipeline?.split(" ")[0] ?? "all of them in one submission";
    const before = shaders.get(shader);
    const worst = before && before.error >= compared.error ? before : { ...plan, shader, ...compared };
    shaders.set(shader, { ...worst, comparisons: (before?.comparisons ?? 0) + 1 });
  };
  const config: ModelConfig = CONFIGS[plan.model];
  await compareWork(device, cpu, await planWork(device, config, plan), onCompared);
  return [...shaders.values()].sort((a, b) => Number(a.isRight) - Number(b.isRight) || b.error - a.error);
}

async function planWork(device: Backend, config: ModelConfig, { purpose, dtype }: CheckedPlan): Promise<Work> {
  if (purpose === "generation") {
    const spec = { config, task: BASE_TASK, ...NO_ADAPTERS, train_head: false, dtype };
    return generationWork(device, Decoder.plan(device, { spec, capacity: { tokens: 512, sequences: 2 } }), Decoder);
  }
  const spec = stepSpec(config, purpose, dtype);
  const options = { spec, capacity: CAPACITY, optimizer: STEP_OPTIMIZER };
  const run = { ...options, dropout: undefined, valueLoss: undefined, plan: Engine.plan(device, options) };
  return trainingOf(device, run);
}

interface ExampleStep {
  tokens: number;
  /** Of the first step, on which devices agree. */
  loss: number;
  /** Milliseconds of steps one after the other, as in training. */
  ms: Spread;
  tokensPerSecond: number;
  /** Bytes in the plan. */
  planned: number;
  /** Of many steps in one submission. */
  profile: StepProfile;
}

const STEPS = 10;
/** Fewer steps if they take longer. */
const MOST_MS = 3000;

/** Measures LoRA with the first messages of the example, 8 in all. */
async function measureStep(
  device: Backend,
  model: BaseModel,
  { dtype, messages }: { dtype: WeightDtype; messages: number },
  yardsticks: Yardsticks | null,
): Promise<ExampleStep> {
  const batch = exampleBatch(messages, model.config.vocab_size);
  const [tokens, sequences] = [batch.ids.length, batch.targets.length];
  const engine = await stepEngine(device, stepSpec(model.config, "lora", dtype), tokens, sequences);
  try {
    await loadBase(engine, model);
    await initialize(engine, { seed: 1, headInit: "uniform" }, model);
    const { loss } = await stepTime(engine, batch);
    const ms = await repeat(async () => (await stepTime(engine, batch)).ms);
    const profile = await profileStep(device, engine, batch, yardsticks);
    const planned = memoryTotals(engine.plan.memory).total;
    return { tokens, loss, ms, tokensPerSecond: (1000 * tokens) / ms.median, planned, profile };
  } finally {
    engine.destroy();
  }
}

/** Repeats a measurement of milliseconds: ten times, or fewer if they take seconds. */
async function repeat(measure: () => Promise<number>): Promise<Spread> {
  const times: number[] = [];
  const end = performance.now() + MOST_MS;
  do times.push(await measure());
  while (times.length < STEPS && performance.now() < end);
  return measureSpread(times);
}

interface GenerationOptions {
  model: ShapeName;
  dtype: WeightDtype;
  /** Tokens of the prompt, and new ones. */
  length: number;
  tokens: number;
  rounds: number;
}

interface GenerationResult {
  /** Milliseconds until there is one new token, and tokens/s after it: medians of the rounds. */
  first: number;
  tokensPerSecond: number;
  /** Bytes in the plan. */
  planned: number;
}

async function measureGeneration(
  device: Backend,
  { model, dtype, length, tokens, rounds }: GenerationOptions,
): Promise<GenerationResult> {
  const config: ModelConfig = CONFIGS[model];
  const decoder = await Decoder.create(device, {
    spec: { config, task: BASE_TASK, ...NO_ADAPTERS, train_head: false, dtype },
    capacity: { tokens: length, sequences: 1 },
  });
  await loadBase(decoder, randomCheckpoint(config));
  const tokenizer = await Tokenizer.load();
  // Each is one token, and not the one before: what the decoder holds of a prompt it does not compute again.
  const words = [" word", " text"];
  const write = async (maxNewTokens: number) => {
    words.reverse();
    const started = performance.now();
    let count = 0;
    for await (const { ids } of generate(decoder, tokenizer, [words[0]!.repeat(length)], { maxNewTokens }))
      count += ids.length;
    if (count !== maxNewTokens) throw new Error(`${count} tokens: a text ended early`);
    return performance.now() - started;
  };
  await write(tokens); // warms caches
  const [firsts, speeds]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const first = await write(1);
    firsts.push(first);
    speeds.push((1000 * (tokens - 1)) / ((await write(tokens)) - first));
  }
  const planned = memoryTotals(decoder.plan.memory).total;
  decoder.destroy();
  return { first: measureSpread(firsts).median, tokensPerSecond: measureSpread(speeds).median, planned };
}
