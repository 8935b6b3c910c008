/**
 * Checks a WebGPU device before it is trusted: drivers do miscompile. A small version of what is to run computes on the
 * device and on the CPU, every dispatch by itself and all of them in whole submissions (backend/compare.ts), and the
 * results must agree. That is kept for the device, its driver and the set of shaders, so that it is done once. A device
 * that was chosen automatically must also be the faster one; it is replaced where it fails, in the check or later.
 */

import { sha256 } from "#platform";
import { version } from "../../package.json";
import { type Backend, type DeviceInfo, describeFailure, expectDtype, isReplaceable } from "../backend/backend.ts";
import { refuseWrong } from "../backend/compare.ts";
import { SHADERS_DIGEST } from "../backend/generated/digest.ts";
import { openWasm } from "../backend/wasm.ts";
import { listPipelines } from "../backend/webgpu-shaders.ts";
import type { ErrorCode } from "../core/error-codes.ts";
import { DeviceError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import { hasDtype } from "../core/tensor.ts";
import { keep, readKept } from "../io/hub/kept.ts";
import { memoryTotals } from "../plan/memory.ts";
import { dispatchesOf } from "../plan/plan.ts";
import { compareWork, measure, type Work } from "./check-work.ts";

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

/**
 * The device for some work: the given WebGPU device, or, where that was chosen automatically and computes wrongly,
 * fails or is slower, the CPU. Throws DeviceError if a named one fails or computes wrongly, ConfigError if it does not
 * have the type of the weights.
 */
export async function chooseDevice(device: Backend, work: Work, { signal, began }: CheckOptions = {}): Promise<Choice> {
  const isAutomatic = isReplaceable(device);
  const { wrong, byWork } = knownOf(device);
  const { dtype = "f32" } = work.spec;
  if (!isAutomatic) expectDtype(device, dtype);
  else if (began === "wasm" || !hasDtype("webgpu", dtype))
    return applyVerdict(device, { isReplaced: true, why: began ? "the run began on the CPU" : `for ${dtype}` });
  const isTimed = isAutomatic && began === undefined;
  const key = await workKey(device, work, isTimed);
  const before = wrong ?? byWork.get(key);
  if (before) return applyVerdict(device, before);
  const cpu = await (knownOf(device).cpu ?? openCpu(device));
  try {
    const verdict = await judge(device, cpu, work, { key, isTimed, signal });
    if (!verdict) return { device, info: device.info };
    byWork.set(key, verdict);
    return await applyVerdict(device, verdict, cpu);
  } finally {
    if ((await knownOf(device).cpu) !== cpu) cpu.destroy();
  }
}

const openCpu = ({ threads = 0 }: Backend) => openWasm({ threads });

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

/** `opened`: the CPU that has checked the device; it is in its place until the device is released. */
async function applyVerdict(device: Backend, verdict: Verdict, opened?: Backend): Promise<Choice> {
  const { isReplaced, ...told } = verdict;
  if (!isReplaced) return { device, info: { ...device.info, ...told } };
  if (!isReplaceable(device))
    throw new DeviceError("device-failed", told.why!, { hint: `use the CPU: ${setting("device", "wasm")}` });
  const all = knownOf(device);
  if (!all.cpu) {
    const opening = opened ? Promise.resolve(opened) : openCpu(device);
    void device.released?.then(async () => (await opening).destroy());
    all.cpu = opening;
  }
  const cpu = await all.cpu;
  return { device: cpu, info: { ...cpu.info, ...told } };
}

/** What is known of devices from earlier: that work is right on one, and the milliseconds that it took. */
const FILE = "devices.json";

/**
 * Identifies work on a device by all that decides whether it is right, the shaders with their constants, and, if it is
 * timed, by all on which its time depends.
 */
async function workKey({ info, threads }: Backend, { name, spec, programs }: Work, isTimed: boolean): Promise<string> {
  const sizes = JSON.stringify(spec, (key, value) => (["lora_alpha", "scale"].includes(key) ? undefined : value));
  const pipelines = listPipelines(dispatchesOf(programs));
  const digest = await sha256([new TextEncoder().encode(JSON.stringify([pipelines, isTimed && [threads, sizes]]))]);
  return JSON.stringify([version, SHADERS_DIGEST, info.adapter ?? info.name, name, digest]);
}

/** How work is judged. */
interface Judging {
  key: string;
  isTimed: boolean;
  signal: AbortSignal | undefined;
}

/** Checks a device, and compares the times, unless that was done earlier. Null if it has too little memory. */
async function judge(
  device: Backend,
  cpu: Backend,
  work: Work,
  { key, isTimed, signal }: Judging,
): Promise<Verdict | null> {
  const { name } = device.info;
  try {
    const kept = await readKept(FILE, key);
    if (kept.isRight !== true)
      await compareWork(device, cpu, work, (compared) => {
        signal?.throwIfAborted();
        refuseWrong(compared);
      });
    if (!isTimed) {
      await keep(FILE, key, { isRight: true });
      return { isReplaced: false };
    }
    const isKept = isTime(kept.device) && isTime(kept.cpu);
    const times = isKept ? kept : { cpu: await measure(cpu, work), device: await measure(device, work) };
    await keep(FILE, key, { isRight: true, ...times });
    return compareTimes(name, times as Times, isKept ? ", as measured earlier" : "");
  } catch (error) {
    signal?.throwIfAborted();
    const { code, message } = error as DeviceError;
    // The run then fails too, with an error that tells what it takes, or is given a smaller size.
    if (code === "out-of-memory" && isBeyond(device, work)) return null;
    const verdict =
      code === "results-differ"
        ? { isReplaced: true, why: `${name} computes wrongly: ${message.split("\n")[0]}` }
        : failedVerdict(device, error);
    knownOf(device).wrong = verdict;
    return verdict;
  }
}

/** Whether what is to run takes more memory than the device has, as far as that is known now. */
const isBeyond = ({ limits: { total = Infinity } }: Backend, { programs }: Work) =>
  programs.every(({ memory }) => memoryTotals(memory).total > total);

/** Milliseconds of the same work. */
type Times = Readonly<{ device: number; cpu: number }>;

const isTime = (ms: unknown) => typeof ms === "number" && ms > 0;

function compareTimes(name: string, { device, cpu }: Times, when: string): Verdict {
  const isReplaced = cpu < device;
  const [fast, slow] = [cpu, device].sort((a, b) => a - b).map((ms) => `${ms.toFixed(1)} ms`);
  return {
    isReplaced,
    why: `faster than ${isReplaced ? name : "the CPU"}: ${fast} for some blocks, not ${slow}${when}`,
  };
}
