/** The interface of a device that runs plans, the same for every backend. */
import { ConfigError, DeviceError } from "../core/errors.ts";
import { COMMON_DTYPES, type DType, hasDtype, type Tensor } from "../core/tensor.ts";
import type { StepValues } from "../ops/kernel.ts";
import { formatBytes, type MemoryLimits } from "../plan/memory.ts";
import type { Program, SegmentName } from "../plan/plan.ts";

/** A device, to print. */
export interface DeviceInfo {
  kind: "webgpu" | "wasm";
  /** For example "llvmpipe (software), Mesa 25.0.7" or "CPU, 2 threads, SIMD". */
  name: string;
  /** Whether it computes on the CPU: WASM, or a software driver. */
  software: boolean;
  /** How WebGPU describes the adapter: vendor, architecture, device and driver; and the version of WebGPU. */
  adapter?: string;
  /** Why this device was selected: automatically, or in place of another one. */
  why?: string;
  /** The bytes of the smallest plan for which it had too little memory. */
  refused?: number;
  /** The GPU in whose place it computes, as that has failed. */
  insteadOf?: string;
}

/** "CPU, 2 threads, SIMD (no hardware GPU found)". */
export function describeDevice({ kind, name, software, why, refused }: DeviceInfo): string {
  const driver = kind === "webgpu" && `webgpu${software ? ", software driver" : ""}`;
  const about = [driver, why, refused && `no memory for ${formatBytes(refused)}`].filter(Boolean).join("; ");
  return about === "" ? name : `${name} (${about})`;
}

/** That a GPU has failed, for people; null: none has. */
export const describeReplaced = ({ insteadOf }: DeviceInfo): string | null =>
  insteadOf === undefined ? null : `The GPU (${insteadOf}) failed: the CPU computes in its place.`;

/** Why a device cannot be used, in one line. */
export function describeFailure({ message, details }: DeviceError): string {
  const [summary] = message.split("\n");
  return [summary, details.found ?? []].flat().join(": ");
}

/** Whether the CPU can replace a device that fails: a GPU that was chosen automatically. */
export const isReplaceable = ({ info: { kind, why } }: Backend): boolean => kind === "webgpu" && why !== undefined;

/** Elements of a tensor on the host; f16 as bits. */
export type TensorData = Float32Array | Uint32Array | Int32Array | Uint16Array;

/** An open compute device, from `openDevice`: what it is, and its release. What runs on it is Lowrank's own. */
export interface Device {
  readonly info: DeviceInfo;
  /** Releases the device. What was loaded on it cannot be used afterwards. */
  destroy(): void;
}

/** A device with what runs plans. */
export interface Backend extends Device {
  /** The memory limits at this moment; a plan that was refused does not fit again. */
  readonly limits: MemoryLimits;
  /** Threads of the CPU that checks this device; default: one per core. */
  readonly threads?: number;
  /** Fulfilled once this device is released, where the CPU may replace it. */
  readonly released?: Promise<void>;
  /**
   * Allocates the program's buffers, filled with zeros, and compiles its kernels. Tensors that are also part of
   * `sharedFrom`'s program use the same buffers and keep their contents; a buffer is freed with the last session that
   * uses it. Throws DeviceError, and then frees everything it allocated.
   */
  prepare(program: Program, sharedFrom?: Session): Promise<Session>;
  /**
   * A CPU with several threads: at most `count` parts of it, which work at the same time, each on its own threads.
   * Their sessions can share tensors with each other's. Results have the same bits on any part. The parts are released
   * before the whole.
   */
  divide?(count: number): Backend[];
}

/** What runs plans on a device that a program has: the check of arguments has found it. */
export const backendOf = (device: Device): Backend => device as Backend;

/** A program with its memory on a device. */
export interface Session {
  /**
   * Copies `data` into a tensor or a view, starting at element `offset`; f16 as bits, in whole words; of a tensor in
   * blocks all words as they are stored.
   */
  write(tensor: Tensor, data: TensorData, offset?: number): void;
  /** Waits until all writes so far have reached the device; bounds the staging memory while loading. */
  flush(): Promise<void>;
  /** Reads `count` elements from `offset` on, after all submitted work; f16 as floats, blocks as all stored words. */
  read(tensor: Tensor, offset?: number, count?: number): Promise<Float32Array>;
  /** Submits segments in order, as one submission. Returns at once; errors reject the next `read` or `flush`. */
  run(segments: readonly SegmentName[], values: StepValues): void;
  /**
   * While on, submitted work is dropped, if the device supports it: segments that have not begun the update, so that
   * parameters stay those of the last completed step. Reads after dropped work throw a DeviceError (`isDropped`). Work
   * that is submitted after the next `flush` and `drop(false)` runs again.
   */
  drop(isOn: boolean): void;
  /** From now on, runs add their milliseconds per kernel to `times`, if the device measures them; null: no longer. */
  time?(times: Map<string, number> | null): Promise<void>;
  /** Frees the session's memory once its work is done; may be repeated. Other methods then throw DeviceError. */
  destroy(): void;
}

/** Throws ConfigError unless a device multiplies frozen weights of a type. */
export function expectDtype(device: Pick<Device, "info">, dtype: DType): void {
  if (hasDtype(device.info.kind, dtype)) return;
  throw new ConfigError("unsupported-dtype", "a GPU does not multiply in int16", {
    expected: COMMON_DTYPES.join(", "),
    found: dtype,
    hint: "use f16 or q8, or the device wasm",
  });
}

export const noHardware = () => new DeviceError("no-hardware-gpu", "no hardware GPU found");

/** The message of calls on a destroyed session. */
export const RELEASED = "the session was released";

/** The message of a read after dropped work. */
export const DROPPED = "the work was dropped";

export function isDropped(error: unknown): boolean {
  return error instanceof DeviceError && error.code === "work-dropped";
}

export interface WasmOptions {
  /** Threads. Default 0: one per core. Always one if the runtime has no shared memory. */
  threads?: number;
  /** Fused multiply-add. Default: if the runtime supports it. */
  relaxed?: boolean;
}
