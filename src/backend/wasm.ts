/** Opens the CPU: on threads, on the caller's thread, or in a worker. */
import { allowRelaxedSimd, availableMemory, isPageThread, nextTurn, parallelism, readAsset } from "#platform";
import { NotStarted } from "#workers";
import { isBlockDtype } from "../core/blocks.ts";
import { checkNumber } from "../core/checks.ts";
import { DeviceError } from "../core/errors.ts";
import { halfToFloat } from "../core/half.ts";
import { expectWrite, type Tensor } from "../core/tensor.ts";
import type { StepValues } from "../ops/kernel.ts";
import { checkMemory } from "../plan/check-memory.ts";
import { fits, listTables, type MemoryLimits, sharedBuffers, withoutShared } from "../plan/memory.ts";
import type { Program, SegmentName } from "../plan/plan.ts";
import {
  type Backend,
  type DeviceInfo,
  DROPPED,
  RELEASED,
  type Session,
  type TensorData,
  type WasmOptions,
} from "./backend.ts";
import { turnBlocks } from "./block-panels.ts";
import { RECORD_WORDS } from "./generated/operations.ts";
import { type Bits, panelRuns, panelTensors, turnPanels } from "./panels.ts";
import { Heap } from "./wasm-heap.ts";
import { countRecords, RecordList } from "./wasm-list.ts";
import {
  BARRIER_BYTES,
  LocalMemory,
  MAX_BYTES,
  type Memory,
  type Runs,
  type Team,
  Thread,
  type Threads,
} from "./wasm-memory.ts";
import { RemoteMemory, Workers } from "./wasm-threads.ts";

const RECORD_BYTES = RECORD_WORDS * 4;

/** Milliseconds of work per run of the memory: the longest delay of `drop` and of other events. */
const PIECE_MS = 100;
/** Records in a session's first piece. */
const FIRST_PIECE = 16;

export class WasmBackend implements Backend {
  private readonly queue: (() => Promise<void> | void)[] = [];
  /** Whether work is in flight: otherwise the next `enqueue` runs at once. */
  isBusy = false;
  private failure: Error | undefined;
  /** Where there are threads. A part has none. */
  divide?: (count: number) => WasmBackend[];

  constructor(
    readonly memory: Memory,
    readonly pool: Threads,
    readonly heap: Heap,
    readonly info: DeviceInfo,
    readonly team: Team,
    private readonly isPart = false,
  ) {}

  get limits(): MemoryLimits {
    // Free blocks already belong to this process and are used before memory grows.
    const { freeBytes, usedBytes } = this.heap;
    const total = Math.min((availableMemory() ?? MAX_BYTES) + freeBytes, MAX_BYTES - usedBytes);
    return { maxBinding: 2 ** 31, maxBuffer: 2 ** 31, total };
  }

  async prepare(program: Program, sharedFrom?: WasmSession): Promise<Session> {
    this.check();
    const memory = withoutShared(program, sharedFrom?.program);
    if (!fits(memory, this.limits)) checkMemory(memory, this.limits);
    return WasmSession.open(this, program, sharedFrom);
  }

  destroy(): void {
    this.failure ??= new DeviceError("already-destroyed", "the device was released");
    if (!this.isPart) this.pool.destroy();
  }

  /** Throws the error of earlier work, if any. */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /** Runs `work` after all earlier work; at once if none is in flight. */
  enqueue(work: () => Promise<void> | void): void {
    this.queue.push(work);
    if (!this.isBusy) void this.drain();
  }

  private async drain(): Promise<void> {
    this.isBusy = true;
    for (let work = this.queue.shift(); work; work = this.queue.shift()) {
      try {
        const pending = work();
        if (pending) await pending;
      } catch (error) {
        this.failure ??= error as Error;
      }
    }
    this.isBusy = false;
  }
}

class WasmSession implements Session {
  private readonly list: RecordList;
  private released = false;
  /** Records per piece, adapted to the measured time. */
  private piece = FIRST_PIECE;
  private dropping = false;
  /** Whether work has been dropped since the last `drop(false)`. */
  private hasDropped = false;
  private times: Map<string, number> | null = null;

  private constructor(
    private readonly backend: WasmBackend,
    readonly program: Program,
    /** The weights that are stored in panels. */
    private readonly panels: ReadonlySet<Tensor>,
    /** The addresses of the program's buffers, and of the list. */
    private readonly buffers: number[],
  ) {
    this.list = new RecordList(program, (tensor) => this.address(tensor), panels);
    for (const { tensor, contents } of listTables(program))
      backend.memory.write([[this.address(tensor), tensor.bytes]], bytesOf(contents));
  }

  static async open(backend: WasmBackend, program: Program, sharedFrom?: WasmSession): Promise<WasmSession> {
    sharedFrom?.check();
    const { heap } = backend;
    const panels = panelTensors(program);
    const shared = sharedBuffers(program, sharedFrom?.program);
    const planned = program.memory.buffers;
    const buffers: number[] = [];
    try {
      // Before anything is awaited: meanwhile the other session may be released.
      for (const [i, root] of shared) {
        if (panels.has(root) !== sharedFrom!.panels.has(root))
          throw new DeviceError(
            "layouts-differ",
            `${root.name} is stored in another layout in the session that it is shared from`,
          );
        buffers[i] = sharedFrom!.address(root);
        heap.share(buffers[i]);
      }
      const sizes = planned.flatMap(({ bytes }, i) => (shared.has(i) ? [] : [bytes]));
      const fresh = await heap.alloc([...sizes, countRecords(program) * RECORD_BYTES]);
      for (let i = 0; i <= planned.length; i++) buffers[i] ??= fresh.shift()!;
      return new WasmSession(backend, program, panels, buffers);
    } catch (error) {
      for (const at of Object.values(buffers)) heap.release(at);
      throw error;
    }
  }

  write(tensor: Tensor, data: TensorData, offset = 0): void {
    this.check();
    const { backend } = this;
    expectWrite(tensor, offset, data.length);
    const runs = this.runs(tensor, offset, data.length);
    let bytes = bytesOf(data);
    if (this.panels.has(tensor.root)) bytes = this.turn(tensor, bytes, offset, false);
    // The caller may change its array meanwhile.
    else if (backend.isBusy) bytes = bytes.slice();
    backend.enqueue(() => backend.memory.write(runs, bytes));
  }

  async flush(): Promise<void> {
    await this.answer(() => this.backend.memory.read([]));
  }

  async read(tensor: Tensor, offset = 0, count = tensor.size - offset): Promise<Float32Array> {
    const bytes = await this.answer(() => {
      if (this.hasDropped) throw new DeviceError("work-dropped", DROPPED);
      return this.backend.memory.read(this.runs(tensor, offset, count));
    });
    const bits = viewBits(tensor, this.panels.has(tensor.root) ? this.turn(tensor, bytes, offset, true) : bytes);
    return bits instanceof Uint16Array ? halfToFloat(bits) : new Float32Array(bits.buffer as ArrayBuffer);
  }

  run(names: readonly SegmentName[], values: StepValues): void {
    this.check();
    this.backend.enqueue(async () => {
      const { list } = this;
      const update = names.includes("update") ? list.first("update") : Infinity;
      for (const { first, count } of list.select(names, values)) {
        this.writeRecords(first, count);
        for (let at = first, end = first + count; at < end; ) {
          // An update that has begun is completed.
          if (this.dropping && at <= update) {
            this.hasDropped = true;
            return;
          }
          const records = Math.min(this.piece, end - at);
          await this.runPiece(at, records);
          at += records;
        }
      }
    });
  }

  drop(isOn: boolean): void {
    this.dropping = isOn;
    if (!isOn) this.hasDropped = false;
  }

  async time(times: Map<string, number> | null): Promise<void> {
    this.times = times;
  }

  destroy(): void {
    this.released = true;
    this.backend.enqueue(() => {
      for (const at of this.buffers.splice(0)) this.backend.heap.release(at);
    });
  }

  /** Writes records of the list to the memory, with the step values of this run. */
  private writeRecords(first: number, count: number): void {
    const records = bytesOf(this.list.words).subarray(first * RECORD_BYTES, (first + count) * RECORD_BYTES);
    this.backend.memory.write([[this.recordAt(first), records.length]], records);
  }

  private async runPiece(first: number, count: number): Promise<void> {
    const { pool, team } = this.backend;
    const started = performance.now();
    const times = await pool.run(team, this.recordAt(first), count, this.times !== null);
    const milliseconds = performance.now() - started;
    if (milliseconds > PIECE_MS) this.piece = Math.max(1, count >> 1);
    else if (count === this.piece && milliseconds < PIECE_MS / 2) this.piece *= 2;
    times?.forEach((time, i) => {
      const name = this.list.names[first + i]!;
      this.times?.set(name, (this.times.get(name) ?? 0) + time);
    });
  }

  private check(): void {
    if (this.released) throw new DeviceError("already-destroyed", RELEASED);
    this.backend.check();
  }

  /** The answer of `ask`, after all earlier work. */
  private answer<T>(ask: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.check();
      this.backend.enqueue(() => {
        try {
          this.backend.check();
          // Not awaited here: a memory answers in order.
          resolve(ask());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  /** A copy of elements of a weight in its other layout: in panels, or back. */
  private turn(tensor: Tensor, from: Uint8Array, offset: number, isBack: boolean): Uint8Array<ArrayBuffer> {
    const { dtype, shape } = tensor;
    const into = new Uint8Array(from.length);
    if (isBlockDtype(dtype)) turnBlocks(into, from, shape, dtype, isBack);
    else turnPanels(viewBits(tensor, into), viewBits(tensor, from), shape, offset, isBack);
    return into;
  }

  private recordAt(number: number): number {
    return this.buffers.at(-1)! + number * RECORD_BYTES;
  }

  private address(tensor: Tensor): number {
    const index = this.program.memory.bufferIndex.get(tensor.root);
    if (index === undefined) throw new DeviceError("not-in-plan", `${tensor.name} is not part of the plan`);
    return this.buffers[index]! + tensor.byteOffset;
  }

  /** Where elements of a tensor are. */
  private runs(tensor: Tensor, offset: number, count: number): Runs {
    const at = this.address(tensor);
    if (tensor.isInBlocks) return [[at, tensor.bytes]];
    if (!this.panels.has(tensor.root)) return [[at + offset * tensor.elementBytes, count * tensor.elementBytes]];
    return panelRuns(tensor, offset, count).map(([first, bytes]) => [at + first, bytes]);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: TensorData): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** A view of a tensor's elements as bits; of one in blocks as words. */
function viewBits({ dtype }: Tensor, { buffer, byteOffset, byteLength }: Uint8Array): Bits {
  return dtype === "f16"
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Uint32Array(buffer, byteOffset, byteLength / 4);
}

/** With more threads, synchronization takes longer than the work. */
const MAX_THREADS = 16;

/** The default number of threads: one per core if memory can be shared, otherwise one. */
export function defaultThreads(): number {
  return canShare() ? Math.min(MAX_THREADS, parallelism()) : 1;
}

const canShare = () => typeof SharedArrayBuffer !== "undefined";

/**
 * Opens the CPU backend. It runs on worker threads if memory can be shared, otherwise on the caller's thread, or, if
 * that is a page's main thread, in one worker. Where a page can start no worker it runs on the caller's thread, and
 * `info.why` says so.
 */
export async function openWasm(options: WasmOptions = {}): Promise<Backend> {
  const { threads = 0 } = options;
  checkNumber("the number of threads", threads, { min: 0, max: 64, whole: true });
  try {
    if (canShare()) return await openOnThreads(threads || defaultThreads(), options);
    return await (isPageThread() ? openInWorker(options) : openOnCaller(options));
  } catch (error) {
    if (!((error as Error).cause instanceof NotStarted)) throw error;
    const device = await openOnCaller(options);
    device.info.why = "no worker can be started";
    return device;
  }
}

/** A module with one relaxed instruction (i8x16.relaxed_swizzle): valid if the runtime supports relaxed SIMD. */
const RELAXED_PROBE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
]);

export function hasRelaxedSimd(): boolean {
  if (!WebAssembly.validate(RELAXED_PROBE)) allowRelaxedSimd();
  return WebAssembly.validate(RELAXED_PROBE);
}

/** kernels.wasm in the build that the runtime supports: with fused multiply-add, or without. */
async function loadKernels({ relaxed = hasRelaxedSimd() }: WasmOptions) {
  const bytes = await readAsset(relaxed ? "kernels-relaxed.wasm" : "kernels.wasm");
  return { module: await WebAssembly.compile(bytes), build: relaxed ? "relaxed SIMD" : "SIMD" };
}

/** Opens it on the caller's thread. */
export async function openOnCaller(options: WasmOptions = {}): Promise<WasmBackend> {
  const { module, build } = await loadKernels(options);
  const thread = await Thread.open(module);
  const run: Threads["run"] = async (...args) => {
    // Yields to the event loop first: chained promises alone would block a page's thread.
    await nextTurn();
    return thread.run(...args);
  };
  return open(thread, { count: 1, scratchBytes: thread.scratchBytes, run, destroy() {} }, build);
}

/** Opens it on threads that share its memory. */
export async function openOnThreads(count: number, options: WasmOptions): Promise<WasmBackend> {
  const { module, build } = await loadKernels(options);
  const workers = new Workers(count);
  const memory = new LocalMemory();
  await workers.start(module, memory.memory);
  const backend = await open(memory, workers, build);
  backend.divide = (count) => divide(backend, count);
  return backend;
}

function divide({ memory, pool, heap, info, team }: WasmBackend, count: number): WasmBackend[] {
  const parts = Math.min(count, team.count);
  const begin = (part: number) => Math.floor((part * team.count) / parts);
  return Array.from({ length: parts }, (_, part) => {
    const first = begin(part);
    const barrier = team.barrier + (1 + first) * BARRIER_BYTES;
    memory.clear(barrier, BARRIER_BYTES);
    const some = { ...team, first, count: begin(part + 1) - first, barrier, passed: 0 };
    return new WasmBackend(memory, pool, heap, info, some, true);
  });
}

/** Opens it in one worker, which shares no memory. */
export async function openInWorker(options: WasmOptions = {}): Promise<WasmBackend> {
  const { module, build } = await loadKernels(options);
  const worker = new Workers(1);
  await worker.start(module);
  return open(new RemoteMemory(worker), worker, build);
}

async function open(memory: Memory, pool: Threads, build: string): Promise<WasmBackend> {
  const { count, scratchBytes } = pool;
  const heap = new Heap(memory);
  const [scratch, barrier] = await heap.alloc([count * scratchBytes, (count + 1) * BARRIER_BYTES]);
  const name = `CPU, ${count === 1 ? "1 thread" : `${count} threads`}, ${build}`;
  const team = { first: 0, count, scratch: scratch!, barrier: barrier!, passed: 0 };
  return new WasmBackend(memory, pool, heap, { kind: "wasm", name, software: true }, team);
}
