/**
 * Checks a WebGPU device before it is trusted: drivers do miscompile. Two blocks of the model that is to run compute on
 * the device and on the CPU, and the results must agree; more blocks, where two do not have all shaders of the run. If
 * the device was chosen automatically, it must also be the faster one, and is replaced where it fails, in the check or
 * later.
 */
import { sha256 } from "#platform";
import { type Backend, type DeviceInfo, isReplaceable } from "../backend/backend.ts";
import { openWasm } from "../backend/wasm.ts";
import type { ErrorCode } from "../error-codes.ts";
import { DeviceError } from "../errors.ts";
import type { BaseModel } from "../io/hf.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { Rng } from "../rng.ts";
import { numel } from "../tensor.ts";
import { deviceKey, keepTimes, keptChoices, keptTimes, type Times } from "./device-times.ts";
import { type Excerpt, excerptModel, type Whole } from "./excerpt.ts";
import { initialize } from "./initial.ts";
import { loadBase } from "./state.ts";
import type { Weights } from "./weights.ts";

/**
 * Largest error of a tensor, ||device - cpu|| / ||cpu||. Rounding gives some 1e-6, another order of a long sum 1e-5; a
 * wrong tile of 32 x 32 in a product of 256 x 768 gives 7e-2.
 */
const TOLERANCE = 1e-3;
/** Standard deviation of the adapters' B, whose zeros would hide products. */
const SPREAD = 0.02;

/** Passes that are timed together, as a browser waits for each answer of a GPU, and how often; the fastest counts. */
const PASSES = { webgpu: 3, wasm: 1 };
const TRIALS = 2;

/** Numbers that a device computes. */
export type Result = [what: string, values: Float32Array];

/** A small version of what a device is to do with a model. */
export interface Work<E extends Weights> extends Whole {
  /** "training", "classification" or "generation". */
  name: string;
  /** About how many tokens a pass has: otherwise equal work shares a check. */
  tokens: number;
  /** The models in one plan. */
  create(backend: Backend, specs: readonly ModelSpec[]): Promise<readonly [E, ...E[]]>;
  /** Computes once. Several passes may be begun before the first one ends. */
  pass(engine: E): Promise<unknown>;
  /** Computes once more, and all else that is to be right: what is compared. */
  results(engine: E): Promise<Result[]>;
}

export interface CheckOptions {
  /** Ends the check, which rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** The kind of device that resumed work has used so far, which an automatically chosen device must have. */
  began?: DeviceInfo["kind"] | undefined;
}

export interface Choice {
  device: Backend;
  /** The device's, with the reason why it was chosen. */
  info: DeviceInfo;
}

/** Whether the CPU replaces a device. */
interface Verdict extends Pick<DeviceInfo, "why" | "insteadOf"> {
  isReplaced: boolean;
}

/** What is known of a device: a verdict for each kind of work, and one for all once it has computed wrongly. */
interface Known {
  wrong?: Verdict;
  byWork: Map<string, Verdict>;
  /** The CPU in its place, once it was found wrong or slower; released with the device. */
  cpu?: Promise<Backend>;
}

const checked = new WeakMap<Backend, Known>();

const openCpu = ({ threads = 0 }: Backend) => openWasm({ threads });

/**
 * The device for some work: the given WebGPU device, or the CPU if that computes wrongly, or was chosen automatically
 * and is slower. A device is checked once for each kind of work.
 */
export async function chooseDevice<E extends Weights>(
  device: Backend,
  work: Work<E>,
  { signal, began }: CheckOptions = {},
): Promise<Choice> {
  const isAutomatic = device.info.why !== undefined;
  device.choices ??= keptChoices(device.info);
  const known: Known = checked.get(device) ?? { byWork: new Map() };
  checked.set(device, known);
  if (isAutomatic && began === "wasm")
    return applyVerdict(device, known, { isReplaced: true, why: "the run began on the CPU" });
  const isTimed = isAutomatic && began === undefined;
  const excerpt = excerptModel(work);
  const key = workKey(work, excerpt, isTimed);
  const before = known.wrong ?? known.byWork.get(key);
  if (before) return applyVerdict(device, known, before);
  const cpu = await (known.cpu ?? openCpu(device));
  try {
    const judged = await judge(device, cpu, work, { excerpt, timesKey: isTimed ? key : null, signal });
    if (!judged) return { device, info: device.info };
    const { isWrong, ...verdict } = judged;
    if (isWrong) known.wrong = verdict;
    known.byWork.set(key, verdict);
    return await applyVerdict(device, known, verdict, cpu);
  } finally {
    if ((await known.cpu) !== cpu) cpu.destroy();
  }
}

/** How a device fails. */
const FAILURES: readonly ErrorCode[] = ["device-failed", "device-lost", "out-of-memory"];

/** The verdict on a device that has failed. Throws the error if it is another one, or if the device was named. */
function failedVerdict(device: Backend, error: unknown): Verdict {
  if (!isReplaceable(device) || !(error instanceof DeviceError) || !FAILURES.includes(error.code)) throw error;
  const { name } = device.info;
  const [summary] = error.message.split("\n");
  const cause = [summary, error.details.found ?? []].flat().join(": ");
  return { isReplaced: true, why: `${name} failed: ${cause}`, insteadOf: name };
}

/**
 * Leaves the device on which work has failed: `chooseDevice` chooses the CPU in its place from now on. Throws the error
 * if it does not say that the device failed, or if the device was named.
 */
export function leaveDevice(device: Backend, error: unknown): void {
  const verdict = failedVerdict(device, error);
  const known: Known = checked.get(device) ?? { byWork: new Map() };
  checked.set(device, known);
  known.wrong ??= verdict;
}

/** `opened`: the CPU that has checked the device. */
async function applyVerdict(device: Backend, known: Known, verdict: Verdict, opened?: Backend): Promise<Choice> {
  const { isReplaced, ...told } = verdict;
  if (isReplaced) known.cpu ??= keepCpu(device, opened);
  const chosen = isReplaced ? await known.cpu! : device;
  return { device: chosen, info: { ...chosen.info, ...told } };
}

/** The CPU in a device's place, until that is released. */
async function keepCpu(device: Backend, opened?: Backend): Promise<Backend> {
  const cpu = opened ?? (await openCpu(device));
  void device.released?.then(() => cpu.destroy());
  return cpu;
}

/** Identifies a kind of work by its size and by everything in the two blocks on which kernels depend. */
function workKey<E extends Weights>({ name, tokens, specs }: Work<E>, excerpt: Excerpt, isTimed: boolean): string {
  const values = ["lora_alpha", "scale", "vocab_size"];
  const { config } = excerpt.specs[0]!;
  const own = excerpt.specs.map(({ config: _, ...rest }) => rest);
  return JSON.stringify([name, isTimed, tokens, specs[0].config.n_layer, config, ...own], (key, value) =>
    values.includes(key) ? undefined : value,
  );
}

/**
 * Checks a device, and compares the times, which are stored under `timesKey`; null: times do not matter. Null if it has
 * too little memory.
 */
async function judge<E extends Weights>(
  device: Backend,
  cpu: Backend,
  work: Work<E>,
  { excerpt, timesKey, signal }: { excerpt: Excerpt; timesKey: string | null; signal: AbortSignal | undefined },
): Promise<(Verdict & { isWrong: boolean }) | null> {
  const { name } = device.info;
  const key = timesKey === null ? null : deviceKey(device.info, cpu.info.name, work.name, await digest(timesKey));
  const earlier = key === null ? undefined : await keptTimes(key);
  // A device that is not used needs no check.
  if (earlier && earlier.cpu < earlier.device) return compareTimes(name, earlier, EARLIER);
  const { failure, mismatch, times } = await checkDevice(device, cpu, work, {
    isTimed: key !== null && !earlier,
    excerpt,
    signal,
  });
  if (failure) {
    // What is checked needs no more memory than the real plan, which is given a smaller size, or an error that tells
    // one.
    if ((failure.error as Partial<DeviceError>).code === "out-of-memory") return null;
    return { isWrong: true, ...failedVerdict(device, failure.error) };
  }
  if (mismatch) {
    const how = `${mismatch.what} differs from the CPU's by ${mismatch.error.toExponential(1)} of its size`;
    return { isWrong: true, isReplaced: true, why: `${name} computes wrongly: ${how}` };
  }
  if (earlier) return compareTimes(name, earlier, EARLIER);
  if (key === null) return { isWrong: false, isReplaced: false };
  await keepTimes(key, times);
  return compareTimes(name, times);
}

/** What is kept under a key as long as that of 16 models would soon be more than is read. */
const digest = (key: string) => sha256([new TextEncoder().encode(key)]);

const EARLIER = ", as measured earlier";

function compareTimes(name: string, { device, cpu }: Times, when = ""): Verdict & { isWrong: boolean } {
  const isReplaced = cpu < device;
  const [cpuMs, deviceMs] = [cpu, device].map((ms) => `${ms.toFixed(1)} ms`);
  const why = isReplaced
    ? `faster than ${name}: ${cpuMs} for two blocks, not ${deviceMs}`
    : `faster than the CPU: ${deviceMs} for two blocks, not ${cpuMs}`;
  return { isWrong: false, isReplaced, why: why + when };
}

/** What the device computed wrongly. */
export interface Mismatch {
  /** "logits", "loss", "the gradient of NAME", "NAME after a step", ... */
  what: string;
  error: number;
}

/** What a check has found. Without `isTimed` the times mean nothing. */
interface Finding {
  /** What the device threw. */
  failure?: { error: unknown };
  mismatch: Mismatch | null;
  times: Times;
}

interface Computing {
  isTimed: boolean;
  excerpt?: Excerpt;
  signal?: AbortSignal | undefined;
}

/** Compares what a device computes after a first pass with the CPU's. */
export async function checkDevice<E extends Weights>(
  device: Backend,
  cpu: Backend,
  work: Work<E>,
  { isTimed, excerpt = excerptModel(work), signal }: Computing,
): Promise<Finding> {
  const how = { isTimed, excerpt, signal };
  const reference = await compute(cpu, work, how);
  const found = await compute(device, work, how).catch((error: unknown) => ({ error }));
  signal?.throwIfAborted();
  if ("error" in found) return { failure: found, mismatch: null, times: { device: Infinity, cpu: reference.ms } };
  const times = { device: found.ms, cpu: reference.ms };
  for (const [what, expected] of reference.results) {
    const error = relativeError(found.results.get(what)!, expected);
    if (!(error <= TOLERANCE)) return { mismatch: { what, error }, times };
  }
  return { mismatch: null, times };
}

/** The results of a pass, by name, and the milliseconds of the fastest one. */
async function compute<E extends Weights>(
  backend: Backend,
  work: Work<E>,
  { isTimed, excerpt: { specs, checkpoint }, signal }: Computing & { excerpt: Excerpt },
): Promise<{ results: Map<string, Float32Array>; ms: number }> {
  const engines = await work.create(backend, specs);
  const pass = () => Promise.all(engines.map((engine) => work.pass(engine)));
  try {
    await loadBase(engines[0], checkpoint, { signal });
    for (const [i, engine] of engines.entries()) await writeRandom(engine, i + 1, checkpoint);
    // Some drivers are right in the first pass only, of which nothing is compared.
    if (backend.info.kind === "webgpu") await pass();
    const ms = isTimed ? await timePasses(engines[0], pass, PASSES[backend.info.kind]) : Infinity;
    const found = await Promise.all(engines.map((engine) => work.results(engine)));
    const named = found.flatMap((results, i) =>
      results.map(([what, values]) => [i === 0 ? what : `${what}, of another run`, values] as const),
    );
    return { results: new Map(named), ms };
  } finally {
    for (const engine of engines) engine.destroy();
  }
}

/** Writes what is not the base model's: numbers that hide no product. */
export async function writeRandom(engine: Weights, seed: number, checkpoint: BaseModel): Promise<void> {
  // From a head of zeros no gradient would reach the blocks.
  await initialize(engine, { seed, headInit: "uniform" }, checkpoint);
  const rng = new Rng(seed + 1);
  // A of the token table begins with zeros, others' B.
  for (const { name, shape, part, layer } of engine.plan.parameters.all.values())
    if (part === "B" || (part === "A" && layer === "wte"))
      engine.writeParameter(
        name,
        Float32Array.from({ length: numel(shape) }, () => SPREAD * rng.normal()),
      );
}

/** Milliseconds of a pass, without the wait for its results: that takes a browser 5 to 100 ms, whatever is computed. */
async function timePasses(engine: Weights, pass: () => Promise<unknown>, together: number): Promise<number> {
  const { pieces } = [...engine.plan.parameters.all.values()].reduce((a, b) =>
    numel(b.shape) < numel(a.shape) ? b : a,
  );
  const time = async (work: () => Promise<unknown>) => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  let [passes, wait] = [Infinity, Infinity];
  for (let i = 0; i < TRIALS; i++) {
    passes = Math.min(passes, await time(() => Promise.all(Array.from({ length: together }, pass))));
    wait = Math.min(wait, await time(() => engine.session.read(pieces[0]!.tensor)));
  }
  return Math.max(passes - wait, passes / 10) / together;
}

/** ||found - expected|| / ||expected||; numbers finite in neither count as equal, in only one as an infinite error. */
function relativeError(found: Float32Array, expected: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(found[i]) && !Number.isFinite(expected[i])) continue;
    difference += (found[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  if (!Number.isFinite(difference) || !Number.isFinite(norm)) return Infinity;
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
