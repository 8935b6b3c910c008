/** What a device can do for a plan: about ten methods, the same on every backend. */
import { DeviceError } from "../errors.ts";
import type { StepValues } from "../ops/kernel.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import type { Program, SegmentName } from "../plan/plan.ts";
import type { Tensor } from "../tensor.ts";

export interface DeviceInfo {
  kind: "webgpu" | "wasm";
  /** The device in words: "llvmpipe (software), Mesa 25.0.7", "CPU, 2 threads, SIMD". */
  name: string;
  /** Whether it computes on the CPU: WASM, or a software driver. */
  software: boolean;
  /** Why this device was taken, where it was not asked for by name. */
  why?: string;
}

/** "CPU, 2 threads, SIMD (wasm; no WebGPU adapter: none)". */
export function describeDevice({ kind, name, software, why }: DeviceInfo): string {
  const driver = kind === "webgpu" && software ? ", software driver" : "";
  return `${name} (${kind}${driver}${why === undefined ? "" : `; ${why}`})`;
}

/** Elements of a tensor as a host has them; those of f16 by their bits. */
export type TensorData = Float32Array | Uint32Array | Int32Array | Uint16Array;

export interface Backend {
  readonly info: DeviceInfo;
  readonly limits: MemoryLimits;
  /**
   * Allocates the program's buffers, all zero, and compiles its kernels. Tensors that a program of this backend shares with
   * the lender's are the lender's, contents and all; they are freed with the last session that has them. Throws DeviceError,
   * with nothing left behind.
   */
  prepare(program: Program, sharedFrom?: Session): Promise<Session>;
  /** Releases the device. Sessions can't be used afterwards. */
  destroy(): void;
}

/** A program with its memory on a device. */
export interface Session {
  /** Copies into a tensor, or a view of one, from element `offset` on: of f16 the bits, in whole words. */
  write(tensor: Tensor, data: TensorData, offset?: number): void;
  /** Waits until everything written so far has reached the device; keeps staging memory small while loading. */
  flush(): Promise<void>;
  /** A copy of `count` elements of a tensor from element `offset` on, once all work submitted before has run; f16 as floats. */
  read(tensor: Tensor, offset?: number, count?: number): Promise<Float32Array>;
  /** Submits segments in order, as one submission. Returns at once; faults reject the next `read` or `flush`. */
  run(segments: readonly SegmentName[], values: StepValues): void;
  /**
   * While on, what has been submitted is dropped where the device can: segments that have not begun the update, so that
   * parameters stay those of the last step that was finished. Reads behind what was dropped are a DeviceError, `isDropped`.
   * What is submitted after the next `flush` and `drop(false)` runs again.
   */
  drop(isOn: boolean): void;
  /** Where the device can tell: milliseconds by kernel are added up here during runs, while it is set. */
  times?: Map<string, number> | null;
  /** Frees the session's memory once its work is done; a second call does nothing. What is asked for later is a DeviceError. */
  destroy(): void;
}

/** The summary of that error. */
export const RELEASED = "the session was released";

/** The message of a read whose work was dropped. */
export const DROPPED = "the work was dropped";

export function isDropped(error: unknown): boolean {
  return error instanceof DeviceError && error.message === DROPPED;
}

export interface WasmOptions {
  /** Threads; 0 or left out: one a core. One where the runtime shares no memory. */
  threads?: number;
  /** Fused multiply-add; left out: where the runtime has it. */
  relaxed?: boolean;
}
