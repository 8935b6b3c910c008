/**
 * Checks a WebGPU device before it is trusted: drivers do miscompile. A small version of what is to run computes on the
 * device and on the CPU, every dispatch by itself and all of them in whole submissions (backend/compare.ts), and the
 * results must agree. That is kept for the device, its driver and the set of shaders, so that it is done once. A device
 * that was chosen automatically must also be the faster one; it is replaced where it fails, in the check or later.
 */

import { sha256 } from "#platform";
import { version } from "../../package.json";
import { type Backend, type DeviceInfo, describeFailure, expectDtype, isReplaceable } from "../backend/backend.ts";
import { SHADERS_DIGEST } from "../backend/generated/digest.ts";
import { openWasm } from "../backend/wasm.ts";
import { listPipelines } from "../backend/webgpu-shaders.ts";
import type { ErrorCode } from "../error-codes.ts";
import { DeviceError } from "../errors.ts";
import { keep, readKept } from "../io/hub/kept.ts";
import type { ModelSpec } from "../model/trainable.ts";
import { memoryTotals } from "../plan/memory.ts";
import { dispatchesOf, type Program } from "../plan/plan.ts";
import { setting } from "../setting.ts";
import { hasDtype } from "../tensor.ts";
import { findMismatch, measure, type Work } from "./check-work.ts";

/** What is to run on a device. */
export interface Whole {
  /** "training", "classification" or "generation". */
  name: string;
  spec: ModelSpec;
  programs: readonly Program[];
  /** What is computed in the check, unless the device was found right earlier. */
  makeWork(): Work;
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

const known = new WeakMap<Backend, Known>();

function knownOf(device: Backend): Known {
  const before: Known = known.get(device) ?? { byWork: new Map() };
  known.set(device, before);
  return before;
}

const openCpu = ({ threads = 0 }: Backend) => openWasm({ threads });

/**
 * The device for some work: the given WebGPU device, or, where that was chosen automatically and computes wrongly,
 * fails or is slower, the CPU. Throws DeviceError if a named one fails or computes wrongly, ConfigError if it does not
 * have the type of the weights.
 */
export async function chooseDevice(
  device: Backend,
  whole: Whole,
  { signal, began }: CheckOptions = {},
): Promise<Choice> {
  const isAutomatic = isReplaceable(device);
  const { wrong, byWork } = knownOf(device);
  const { dtype = "f32" } = whole.spec;
  if (!isAutomatic) expectDtype(device, dtype);
  else if (began === "wasm" || !hasDtype("webgpu", dtype))
    return applyVerdict(device, { isReplaced: true, why: began ? "the run began on the CPU" : `for ${dtype}` });
  const isTimed = isAutomatic && began === undefined;
  const key = JSON.stringify([isTimed, await shadersKey(device, whole), isTimed && sizesKey(whole)]);
  const before = wrong ?? byWork.get(key);
  if (before) return applyVerdict(device, before);
  const { cpu: kept } = knownOf(device);
  const cpu = await (kept ?? openCpu(device));
  try {
    const verdict = await judge(device, cpu, whole, { isTimed, signal });
    if (!verdict) return { device, info: device.info };
    byWork.set(key, verdict);
    return await applyVerdict(device, verdict, cpu);
  } finally {
    if ((await knownOf(device).cpu) !== cpu) cpu.destroy();
  }
}

const FAILURES: readonly ErrorCode[] = ["device-failed", "device-lost", "out-of-memory"];

/** The verdict on a device that has failed. Throws the error if it is another one, or if the device was named. */
function failedVerdict(device: Backend, error: unknown): Verdict {
  if (!isReplaceable(device) || !(error instanceof DeviceError) || !FAILURES.includes(error.code)) throw error;
  const { name } = device.info;
  return { isReplaced: true, why: `${name} failed: ${describeFailure(error)}`, insteadOf: name };
}

/**
 * Leaves the device on which work has failed: `chooseDevice` chooses the CPU in its place from now on. Throws the error
 * if it does not say that the device failed, or if the device was named.
 */
export function leaveDevice(device: Backend, error: unknown): void {
  const verdict = failedVerdict(device, error);
  knownOf(device).wrong ??= verdict;
}

/** `opened`: the CPU that has checked the device. */
async function applyVerdict(device: Backend, verdict: Verdict, opened?: Backend): Promise<Choice> {
  const { isReplaced, ...told } = verdict;
  if (!isReplaced) return { device, info: { ...device.info, ...told } };
  if (!isReplaceable(device))
    throw new DeviceError("device-failed", told.why!, { hint: `use the CPU: ${setting("device", "wasm")}` });
  const all = knownOf(device);
  all.cpu ??= keepCpu(device, opened);
  const cpu = await all.cpu;
  return { device: cpu, info: { ...cpu.info, ...told } };
}

/** The CPU in a device's place, until that is released. */
async function keepCpu(device: Backend, opened?: Backend): Promise<Backend> {
  const cpu = opened ?? (await openCpu(device));
  void device.released?.then(() => cpu.destroy());
  return cpu;
}

const digest = (key: unknown) => sha256([new TextEncoder().encode(JSON.stringify(key))]);

/** Identifies work by all that decides whether a device computes it rightly: the shaders with their constants. */
const shadersKey = async ({ info }: Backend, { name, programs }: Whole) =>
  deviceKey(info, name, await digest(listPipelines(dispatchesOf(programs))));

/** Identifies work by all on which its time depends. */
function sizesKey({ name, spec }: Whole): string {
  const values = ["lora_alpha", "scale"];
  return JSON.stringify([name, spec], (key, value) => (values.includes(key) ? undefined : value));
}

/** Checks a device, unless it was found right earlier, and compares the times. Null if it has too little memory. */
async function judge(
  device: Backend,
  cpu: Backend,
  whole: Whole,
  { isTimed, signal }: { isTimed: boolean; signal: AbortSignal | undefined },
): Promise<Verdict | null> {
  const { name } = device.info;
  const key = isTimed ? deviceKey(device.info, cpu.info.name, await digest(sizesKey(whole))) : null;
  const earlier = key === null ? undefined : await keptTimes(key);
  // A device that is not used needs no check.
  if (earlier && earlier.cpu < earlier.device) return compareTimes(name, earlier, EARLIER);
  try {
    const shaders = await shadersKey(device, whole);
    const isRight = await isKeptRight(shaders);
    if (isRight && (key === null || earlier))
      return earlier ? compareTimes(name, earlier, EARLIER) : { isReplaced: false };
    const work = whole.makeWork();
    if (!isRight) {
      const how = await findMismatch(device, cpu, work, signal);
      if (how !== null) {
        const wrong = { isReplaced: true, why: `${name} computes wrongly: ${how}` };
        knownOf(device).wrong = wrong;
        return wrong;
      }
      await keepRight(shaders);
    }
    if (key === null) return { isReplaced: false };
    if (earlier) return compareTimes(name, earlier, EARLIER);
    const times = { cpu: await measure(cpu, work), device: await measure(device, work) };
    await keepTimes(key, times);
    return compareTimes(name, times);
  } catch (error) {
    signal?.throwIfAborted();
    // The run then fails too, with an error that tells what it takes, or is given a smaller size.
    if ((error as Partial<DeviceError>).code === "out-of-memory" && isBeyond(device, whole)) return null;
    const verdict = failedVerdict(device, error);
    knownOf(device).wrong = verdict;
    return verdict;
  }
}

/** Whether what is to run takes more memory than the device has, as far as that is known now. */
const isBeyond = ({ limits: { total = Infinity } }: Backend, { programs }: Whole) =>
  programs.every(({ memory }) => memoryTotals(memory).total > total);

const EARLIER = ", as measured earlier";

function compareTimes(name: string, { device, cpu }: Times, when = ""): Verdict {
  const isReplaced = cpu < device;
  const [fast, slow] = [cpu, device].sort((a, b) => a - b).map((ms) => `${ms.toFixed(1)} ms`);
  return {
    isReplaced,
    why: `faster than ${isReplaced ? name : "the CPU"}: ${fast} for two blocks, not ${slow}${when}`,
  };
}

/** Milliseconds of the same work. */
export type Times = Readonly<{ device: number; cpu: number }>;

const FILE = "devices.json";

/** The key of what is known of a device, and of `more`. */
function deviceKey({ name, adapter = name }: DeviceInfo, ...more: unknown[]): string {
  return JSON.stringify([version, SHADERS_DIGEST, adapter, ...more]);
}

const isKeptRight = async (key: string): Promise<boolean> => (await readKept(FILE, key)).isRight === true;

const keepRight = (key: string): Promise<void> => keep(FILE, key, { isRight: true });

async function keptTimes(key: string): Promise<Times | undefined> {
  const { device, cpu } = await readKept(FILE, key);
  return isTime(device) && isTime(cpu) ? { device, cpu } : undefined;
}

const isTime = (ms: unknown): ms is number => typeof ms === "number" && ms > 0;

const keepTimes = (key: string, times: Times): Promise<void> => keep(FILE, key, times);
