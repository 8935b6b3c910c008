/**
 * A CPU backend in a worker, for callers that must not be blocked where memory cannot be shared. Programs, data and
 * results are copied between the two threads. remote-worker.ts is the other side.
 */
import { availableMemory } from "#platform";
import { startWorker } from "#workers";
import { DeviceError, type ErrorDetails } from "../errors.ts";
import type { Dispatch, Kernel, StepValues } from "../ops/kernel.ts";
import type { MemoryLimits } from "../plan/memory.ts";
import type { MemoryPlan, PlannedBuffer, Program, SegmentName } from "../plan/plan.ts";
import type { DType, Role, Shape, Tensor } from "../tensor.ts";
import { type Backend, type DeviceInfo, RELEASED, type Session, type TensorData, type WasmOptions } from "./backend.ts";
import { type KernelModule, loadKernels } from "./wasm-module.ts";

/** A tensor that is new to the worker. Tensors of a session are numbered in the order in which they are sent. */
export interface TensorRecord {
  name: string;
  shape: Shape;
  role: Role;
  dtype: DType;
  /** The number of its root; null if it is a root. */
  root: number | null;
  offset: number;
  /** What a table holds. */
  contents: Uint32Array | undefined;
}

/** A serialized program: tensors by number, kernels without their functions. */
export interface ProgramRecord {
  segments: {
    name: SegmentName;
    clears: number[];
    dispatches: (Pick<Dispatch, "access" | "scalars"> & {
      kernel: Kernel;
      /** What `kernel.inPanels` says. */
      isInPanels: boolean;
      tensors: (number | null)[];
    })[];
  }[];
  buffers: PlannedBuffer[];
  bufferIndex: [tensor: number, buffer: number][];
}

/** The tensors shared from another session, by their numbers there. They get the first numbers in the new session. */
interface SharedTensors {
  session: number;
  tensors: number[];
}

export type ToRemote =
  | { type: "open"; kernels: KernelModule }
  | {
      type: "prepare";
      session: number;
      sharedFrom: SharedTensors | null;
      tensors: TensorRecord[];
      program: ProgramRecord;
    }
  | { type: "write"; session: number; tensors: TensorRecord[]; tensor: number; data: TensorData; offset: number }
  | { type: "flush"; session: number }
  | { type: "read"; session: number; tensors: TensorRecord[]; tensor: number; offset: number; count: number }
  | { type: "run"; session: number; segments: readonly SegmentName[]; values: StepValues }
  | { type: "drop"; session: number; isOn: boolean }
  | { type: "destroy"; session: number };

/** The answer to the oldest pending open, prepare, flush or read. Other messages have no answer. */
export type FromRemote =
  | { value: { info: DeviceInfo; limits: MemoryLimits } | Float32Array | null }
  | { failure: { code: DeviceError["code"]; summary: string; details: Omit<ErrorDetails, "cause"> } };

type Waiting = { resolve: (value: never) => void; reject: (error: Error) => void };

const withoutFunctions = (kernel: Kernel) =>
  Object.fromEntries(Object.entries(kernel).filter(([, value]) => typeof value !== "function")) as unknown as Kernel;

/** Opens the CPU backend in a worker, with one thread. */
export async function openRemote(options: WasmOptions): Promise<Backend> {
  const kernels = await loadKernels(options);
  const link = new Link();
  const { info, limits } = await link.ask<{ info: DeviceInfo; limits: MemoryLimits }>({ type: "open", kernels });
  // A worker does not know that it is a tablet's.
  const total = Math.min(limits.total ?? Infinity, availableMemory() ?? Infinity);
  return new RemoteBackend(link, info, total === Infinity ? limits : { ...limits, total });
}

/** A connection to a worker. Answers arrive in the order of the requests. */
class Link {
  private readonly waiting: Waiting[] = [];
  failure: Error | undefined;
  private readonly worker = startWorker(
    "remote-worker",
    (message) => this.take(message as FromRemote),
    (error) => this.fail(error),
  );

  send(message: ToRemote): void {
    if (this.failure) throw this.failure;
    this.worker.post(message);
  }

  ask<T>(message: ToRemote): Promise<T> {
    if (this.failure) return Promise.reject(this.failure);
    this.worker.keepAlive(true);
    return new Promise<T>((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.post(message);
    });
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.worker.terminate();
    for (const { reject } of this.waiting.splice(0)) reject(this.failure);
  }

  private take(answer: FromRemote): void {
    const waiting = this.waiting.shift();
    // After a failure an answer in flight may still arrive.
    if (!waiting) return;
    const { resolve, reject } = waiting;
    if (this.waiting.length === 0) this.worker.keepAlive(false);
    if ("failure" in answer)
      reject(new DeviceError(answer.failure.code, answer.failure.summary, answer.failure.details));
    else resolve(answer.value as never);
  }
}

class RemoteBackend implements Backend {
  private sessions = 0;

  constructor(
    private readonly link: Link,
    readonly info: DeviceInfo,
    readonly limits: MemoryLimits,
  ) {}

  async prepare(program: Program, sharedFrom?: RemoteSession): Promise<Session> {
    const session = new RemoteSession(this.link, this.sessions++);
    await session.prepare(program, sharedFrom);
    return session;
  }

  destroy(): void {
    this.link.fail(new DeviceError("already-destroyed", "the device was released"));
  }
}

class RemoteSession implements Session {
  private readonly numbers = new Map<Tensor, number>();
  /** Tensors that have not been sent yet. */
  private fresh: TensorRecord[] = [];
  private released = false;

  constructor(
    private readonly link: Link,
    private readonly session: number,
  ) {}

  async prepare({ segments, memory }: Program, sharedFrom?: RemoteSession): Promise<void> {
    sharedFrom?.check();
    const shared = sharedFrom ? { session: sharedFrom.session, tensors: this.share(memory, sharedFrom) } : null;
    const program: ProgramRecord = {
      segments: segments.map(({ name, clears, dispatches }) => ({
        name,
        clears: clears.map((tensor) => this.number(tensor)),
        dispatches: dispatches.map((dispatch) => ({
          ...dispatch,
          kernel: withoutFunctions(dispatch.kernel),
          isInPanels: dispatch.kernel.inPanels?.(dispatch) ?? false,
          tensors: dispatch.tensors.map((tensor) => tensor && this.number(tensor)),
        })),
      })),
      buffers: memory.buffers,
      bufferIndex: [...memory.bufferIndex].map(([tensor, buffer]) => [this.number(tensor), buffer]),
    };
    await this.link.ask({ type: "prepare", session: this.session, sharedFrom: shared, tensors: this.news(), program });
  }

  write(tensor: Tensor, data: TensorData, offset = 0): void {
    this.check();
    const number = this.number(tensor);
    // Copied, because posting a view would send its whole buffer.
    this.link.send({
      type: "write",
      session: this.session,
      tensors: this.news(),
      tensor: number,
      data: data.slice(),
      offset,
    });
  }

  async flush(): Promise<void> {
    this.check();
    await this.link.ask({ type: "flush", session: this.session });
  }

  async read(tensor: Tensor, offset = 0, count = tensor.size - offset): Promise<Float32Array> {
    this.check();
    const number = this.number(tensor);
    return this.link.ask({ type: "read", session: this.session, tensors: this.news(), tensor: number, offset, count });
  }

  run(segments: readonly SegmentName[], values: StepValues): void {
    this.check();
    this.link.send({ type: "run", session: this.session, segments, values });
  }

  drop(isOn: boolean): void {
    this.sendUnlessGone({ type: "drop", session: this.session, isOn });
  }

  destroy(): void {
    this.sendUnlessGone({ type: "destroy", session: this.session });
    this.released = true;
  }

  /** Sends a message unless the session or the worker has ended. */
  private sendUnlessGone(message: ToRemote): void {
    if (!this.released && this.link.failure === undefined) this.link.send(message);
  }

  private check(): void {
    if (this.released) throw new DeviceError("already-destroyed", RELEASED);
  }

  /** Gives the shared tensors the first numbers; returns their numbers in the other session. */
  private share({ bufferIndex }: MemoryPlan, sharedFrom: RemoteSession): number[] {
    const shared = [...bufferIndex.keys()].filter((root) => sharedFrom.numbers.has(root));
    for (const root of shared) this.numbers.set(root, this.numbers.size);
    return shared.map((root) => sharedFrom.numbers.get(root)!);
  }

  private number(tensor: Tensor): number {
    const known = this.numbers.get(tensor);
    if (known !== undefined) return known;
    const { name, shape, role, dtype, offset, contents } = tensor;
    const root = tensor.root === tensor ? null : this.number(tensor.root);
    this.fresh.push({ name, shape, role, dtype, root, offset, contents });
    this.numbers.set(tensor, this.numbers.size);
    return this.numbers.size - 1;
  }

  private news(): TensorRecord[] {
    return this.fresh.splice(0);
  }
}
