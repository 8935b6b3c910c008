/**
 * Runs plans on the CPU with the kernels of assembly/kernels. All buffers are in one shared WebAssembly.Memory. A run
 * writes the scalars that changed and posts one message per thread. Work is done in the order of the calls.
 */
import { availableMemory } from "#platform";
import { isBlockDtype } from "../blocks.ts";
import { DeviceError } from "../errors.ts";
import { halfToFloat } from "../half.ts";
import type { StepValues } from "../ops/kernel.ts";
import { checkMemory, listTables, type MemoryLimits, sharedBuffers, withoutShared } from "../plan/memory.ts";
import type { Program, SegmentName } from "../plan/plan.ts";
import { expectWrite, type Tensor } from "../tensor.ts";
import { type Backend, type DeviceInfo, DROPPED, RELEASED, type Session, type TensorData } from "./backend.ts";
import { turnBlocks } from "./block-panels.ts";
import { RECORD_WORDS } from "./generated/operations.ts";
import { type Bits, panelTensors, readPanels, writePanels } from "./panels.ts";
import { Heap } from "./wasm-heap.ts";
import { type Executor, type ExecutorMemory, instantiate } from "./wasm-kernels.ts";
import { RecordList } from "./wasm-list.ts";
import type { KernelModule } from "./wasm-module.ts";

/** The first page holds the module's own data. */
const FIRST_ADDRESS = 1 << 16;
const MAX_PAGES = 1 << 16;
const MAX_BYTES = 2 ** 32 - FIRST_ADDRESS;

/** Milliseconds of work per message to the threads: the longest delay of `drop` and of other events. */
const PIECE_MS = 100;
/** Records in a session's first message. */
const FIRST_PIECE = 16;

/** Opens the backend with this many threads, which `start` starts. */
export async function openBackend(
  { module, fused }: KernelModule,
  threads: number,
  start: (module: WebAssembly.Module, memory: ExecutorMemory) => Promise<Executor>,
): Promise<WasmBackend> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true });
  const heap = new Heap(memory, FIRST_ADDRESS);
  const { scratch_bytes } = await instantiate(module, memory);
  const bytes = scratch_bytes();
  const scratch = Array.from({ length: threads }, () => heap.alloc(bytes));
  const executor = await start(module, { memory, scratch, barrierState: heap.alloc(8) });
  const name = executor.threads === 1 ? "1 thread" : `${executor.threads} threads`;
  const info = { kind: "wasm", name: `CPU, ${name}, ${fused ? "relaxed SIMD" : "SIMD"}`, software: true } as const;
  return new WasmBackend(executor, heap, info);
}

export class WasmBackend implements Backend {
  private readonly queue: (() => Promise<void> | void)[] = [];
  private busy = false;
  private failure: Error | undefined;

  constructor(
    readonly executor: Executor,
    readonly heap: Heap,
    readonly info: DeviceInfo,
    private readonly release = () => executor.destroy(),
  ) {}

  divide(count: number): WasmBackend[] {
    const { threads } = this.executor;
    const parts = Math.min(count, threads);
    const first = (part: number) => Math.floor((part * threads) / parts);
    return Array.from({ length: parts }, (_, part) => {
      const barrierState = this.heap.alloc(8);
      const team = this.executor.team(first(part), first(part + 1) - first(part), barrierState);
      return new WasmBackend(team, this.heap, this.info, () => this.heap.release(barrierState));
    });
  }

  get limits(): MemoryLimits {
    // Free blocks already belong to this process and are used before memory grows.
    const { freeBytes, usedBytes } = this.heap;
    const total = Math.min((availableMemory() ?? MAX_BYTES) + freeBytes, MAX_BYTES - usedBytes);
    return { maxBinding: 2 ** 31, maxBuffer: 2 ** 31, total };
  }

  async prepare(program: Program, sharedFrom?: WasmSession): Promise<Session> {
    this.check();
    checkMemory(withoutShared(program, sharedFrom?.program), this.limits);
    return new WasmSession(this, program, sharedFrom);
  }

  destroy(): void {
    this.failure ??= new DeviceError("already-destroyed", "the device was released");
    this.release();
  }

  /** Throws the error of earlier work, if any. */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /** Whether no work is in flight, so that the next `enqueue` runs at once. */
  get isIdle(): boolean {
    return !this.busy;
  }

  /** Runs `work` after all earlier work; at once if none is in flight. */
  enqueue(work: () => Promise<void> | void): void {
    this.queue.push(work);
    if (!this.busy) void this.drain();
  }

  private async drain(): Promise<void> {
    this.busy = true;
    for (let work = this.queue.shift(); work; work = this.queue.shift()) {
      try {
        const pending = work();
        if (pending) await pending;
      } catch (error) {
        this.failure ??= error as Error;
      }
    }
    this.busy = false;
  }
}

class WasmSession implements Session {
  private readonly buffers: number[] = [];
  private readonly panels: ReadonlySet<Tensor>;
  private readonly list: RecordList;
  private readonly listAt: number;
  private released = false;
  /** Records per message, adapted to the measured time. */
  private piece = FIRST_PIECE;
  private dropping = false;
  /** Whether work has been dropped since the last `drop(false)`. */
  private hasDropped = false;
  private times: Map<string, number> | null = null;

  constructor(
    private readonly backend: WasmBackend,
    readonly program: Program,
    sharedFrom?: WasmSession,
  ) {
    sharedFrom?.check();
    const { heap } = backend;
    const panels = panelTensors(program);
    const shared = sharedBuffers(program, sharedFrom?.program);
    for (const root of shared.values())
      if (panels.has(root) !== sharedFrom!.panels.has(root))
        throw new DeviceError(
          "layouts-differ",
          `${root.name} is stored in another layout in the session that it is shared from`,
        );
    this.panels = panels;
    try {
      for (const [i, { bytes }] of program.memory.buffers.entries()) {
        const root = shared.get(i);
        const at = root ? sharedFrom!.address(root) : heap.alloc(bytes);
        if (root) heap.share(at);
        this.buffers.push(at);
      }
      this.list = new RecordList(program, (tensor) => this.address(tensor), this.panels);
      this.listAt = heap.alloc(this.list.words.byteLength);
      this.buffers.push(this.listAt);
    } catch (error) {
      for (const at of this.buffers) heap.release(at);
      throw error;
    }
    this.words(this.listAt, this.list.words.length).set(this.list.words);
    for (const { tensor, contents } of listTables(program))
      this.words(this.address(tensor), contents.length).set(contents);
  }

  write(tensor: Tensor, data: TensorData, offset = 0): void {
    this.check();
    expectWrite(tensor, offset, data.length);
    // Copied if the write is deferred: the caller may change its array meanwhile.
    const view = viewBits(tensor, data.buffer, data.byteOffset, data.length);
    const bits = this.backend.isIdle ? view : view.slice();
    this.backend.enqueue(() => {
      const { dtype, shape } = tensor;
      const isInPanels = this.panels.has(tensor.root);
      if (isBlockDtype(dtype)) {
        const bytes = new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
        if (isInPanels) turnBlocks(this.bytes(tensor), bytes, shape, dtype, false);
        else this.bytes(tensor).set(bytes);
      } else if (isInPanels) writePanels(this.bits(tensor), shape, bits, offset);
      else this.bits(tensor).set(bits, offset);
    });
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.check();
      this.backend.enqueue(() => this.settle(resolve, reject));
    });
  }

  read(tensor: Tensor, offset = 0, count = tensor.size - offset): Promise<Float32Array> {
    // Copied inside the queue: after an await the next run could already overwrite the data.
    return new Promise((resolve, reject) => {
      this.check();
      const copy = () => {
        if (this.hasDropped) throw new DeviceError("work-dropped", DROPPED);
        resolve(this.copy(tensor, offset, count));
      };
      this.backend.enqueue(() => this.settle(copy, reject));
    });
  }

  run(names: readonly SegmentName[], values: StepValues): void {
    this.check();
    this.backend.enqueue(async () => {
      const ranges = this.list.select(names, values, this.words(this.listAt, this.list.words.length));
      const update = names.includes("update") ? this.list.first("update") : Infinity;
      for (const { first, count } of ranges)
        for (let at = first, end = first + count; at < end; ) {
          // An update that has begun is completed.
          if (this.dropping && at <= update) {
            this.hasDropped = true;
            return;
          }
          const records = Math.min(this.piece, end - at);
          await this.replay(at, records);
          at += records;
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

  private async replay(first: number, count: number): Promise<void> {
    const started = performance.now();
    const times = await this.backend.executor.run(this.listAt + first * RECORD_WORDS * 4, count, this.times !== null);
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

  private copy(tensor: Tensor, offset: number, count: number): Float32Array {
    const { dtype } = tensor;
    if (isBlockDtype(dtype)) {
      const stored = this.bytes(tensor);
      const bytes = new Uint8Array(stored.length);
      if (this.panels.has(tensor.root)) turnBlocks(bytes, stored, tensor.shape, dtype, true);
      else bytes.set(stored);
      return new Float32Array(bytes.buffer);
    }
    const copy = viewBits(tensor, new ArrayBuffer(count * tensor.elementBytes), 0, count);
    if (this.panels.has(tensor.root)) readPanels(this.bits(tensor), tensor.shape, copy, offset);
    else copy.set(this.bits(tensor).subarray(offset, offset + count));
    return copy instanceof Uint16Array ? halfToFloat(copy) : new Float32Array(copy.buffer as ArrayBuffer);
  }

  private settle(done: () => void, reject: (error: unknown) => void): void {
    try {
      this.backend.check();
      done();
    } catch (error) {
      reject(error);
    }
  }

  private address(tensor: Tensor): number {
    const index = this.program.memory.bufferIndex.get(tensor.root);
    if (index === undefined) throw new DeviceError("not-in-plan", `${tensor.name} is not part of the plan`);
    return this.buffers[index]! + tensor.byteOffset;
  }

  private words(at: number, count: number): Uint32Array {
    return new Uint32Array(this.backend.heap.memory.buffer, at, count);
  }

  /** All of a tensor in the module's memory, as it is stored. */
  private bytes(tensor: Tensor): Uint8Array {
    return new Uint8Array(this.backend.heap.memory.buffer, this.address(tensor), tensor.bytes);
  }

  /** A view of a tensor in the module's memory, in its stored layout. */
  private bits(tensor: Tensor): Bits {
    return viewBits(tensor, this.backend.heap.memory.buffer, this.address(tensor), tensor.size);
  }
}

/** A view of a tensor's elements as bits. */
function viewBits({ dtype }: Tensor, buffer: ArrayBufferLike, at: number, count: number): Bits {
  return dtype === "f16" ? new Uint16Array(buffer, at, count) : new Uint32Array(buffer, at, count);
}
