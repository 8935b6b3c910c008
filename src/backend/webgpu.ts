/**
 * Runs plans on WebGPU. `prepare` creates pipelines, bind groups and buffers; a run writes the scalars that changed,
 * encodes the list and submits it, a long one in parts.
 */

import { availableMemory, gpuVersion, platformName, restUntil } from "#platform";
import { DeviceError, LowrankError } from "../core/errors.ts";
import { halfToFloat } from "../core/half.ts";
import { setting } from "../core/setting.ts";
import { expectWrite, type Tensor } from "../core/tensor.ts";
import { type Access, boundTensors, type Dispatch, type Element, isTable, type StepValues } from "../ops/kernel.ts";
import { checkMemory } from "../plan/check-memory.ts";
import {
  fits,
  formatBytes,
  listTables,
  type MemoryLimits,
  memoryTotals,
  SMALLER_BATCH,
  sharedBuffers,
  withoutShared,
} from "../plan/memory.ts";
import { dispatchesOf, type Program, type SegmentName } from "../plan/plan.ts";
import { type Backend, type DeviceInfo, noHardware, RELEASED, type Session, type TensorData } from "./backend.ts";
import { nudgeUntil } from "./webgpu-nudge.ts";
import { estimateWork, Pace } from "./webgpu-pace.ts";
import { ScalarList, type Scalars } from "./webgpu-scalars.ts";
import { chooseShader, pipelineConstants, pipelineName, type Shader } from "./webgpu-shaders.ts";
import { assembleShader } from "./webgpu-source.ts";
import { DispatchTimer } from "./webgpu-timer.ts";
import { refusal, Watch } from "./webgpu-watch.ts";

// Values from the specification: Node has no globals for them.
const MAP_READ = 0x1;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const UNIFORM = 0x40;
const STORAGE = 0x80;
const MAP_READ_MODE = 1;
const COMPUTE_STAGE = 4;
const TIMESTAMPS = "timestamp-query";

/** Uploads are split into chunks of this many bytes. */
const WRITE_BYTES = 16 << 20;

const INSTALL_HINT_PAGE = "use the CPU, which needs no driver, or enable WebGPU in the browser";
const installHint = () =>
  `use ${setting("device", "wasm")}, which needs no driver, or install one. Debian, Ubuntu: apt-get install mesa-vulkan-drivers (a software driver); ` +
  "Fedora: dnf install mesa-vulkan-drivers; Arch: pacman -S vulkan-swrast; macOS and Windows include a driver; " +
  "Chromium: enable WebGPU";

/** The name of an adapter; a page only gets the vendor and the architecture. */
export const adapterName = ({ vendor, architecture, device, description }: GPUAdapterInfo) =>
  description || device || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";

/** Whether an adapter is a software driver, such as llvmpipe, Chrome's SwiftShader or Windows' WARP. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  const words = [adapterName(info), info.vendor, info.architecture].join(" ");
  return info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|software|softpipe|warp|basic render/i.test(words);
}

/** How a WebGPU device is opened. */
interface WebGPUOptions {
  /** Only a hardware GPU. */
  hardware?: boolean;
  /** Threads of the CPU that checks it. */
  threads?: number;
}

/**
 * Opens an adapter, preferably a hardware one. Throws DeviceError if there is none, or, with `hardware`, only a
 * software driver.
 */
export async function openWebGPU(gpu: GPU, { hardware = false, threads = 0 }: WebGPUOptions = {}): Promise<Backend> {
  const adapter = await requestAdapter(gpu);
  if (hardware && isSoftware(adapter.info)) throw noHardware();
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize };
  const requiredFeatures: GPUFeatureName[] = adapter.features.has(TIMESTAMPS) ? [TIMESTAMPS] : [];
  const watch = new Watch(isSoftware(adapter.info));
  const device = await watch.wait(
    adapter.requestDevice({ label: "lowrank", requiredLimits, requiredFeatures }).catch(noDevice),
  );
  return new WebGPUBackend(device, watch, adapter.info, threads);
}

/** The adapter, of several the most powerful one. Throws DeviceError if there is none. */
export async function requestAdapter(gpu: GPU): Promise<GPUAdapter> {
  const options = { powerPreference: "high-performance" } as const;
  const adapter = await gpu.requestAdapter(options).catch(noDevice);
  if (adapter) return adapter;
  // OpenGL ES runs a part of WebGPU, on request.
  const lesser = await gpu.requestAdapter({ ...options, featureLevel: "compatibility" }).catch(noDevice);
  throw new DeviceError("no-webgpu", lesser ? "the only WebGPU adapter is one of OpenGL ES" : "no WebGPU adapter", {
    expected: "a Vulkan, Metal or Direct3D 12 driver",
    ...(lesser ? { found: adapterName(lesser.info) } : {}),
    hint: platformName === "browser" ? INSTALL_HINT_PAGE : installHint(),
  });
}

function noDevice(error: Error): never {
  throw new DeviceError("no-webgpu", "WebGPU did not provide a device", { found: error.message, cause: error });
}

interface Compiled {
  shader: Shader;
  layout: GPUBindGroupLayout;
  pipeline: GPUComputePipeline;
}

class WebGPUBackend implements Backend {
  readonly info: DeviceInfo;
  readonly pace = new Pace();
  private readonly kernels = new Map<string, Promise<Compiled>>();
  /** The number of sessions that use each buffer. */
  readonly users = new WeakMap<GPUBuffer, number>();
  private release!: () => void;
  readonly released = new Promise<void>((resolve) => {
    this.release = resolve;
  });

  constructor(
    readonly device: GPUDevice,
    readonly watch: Watch,
    info: GPUAdapterInfo,
    readonly threads: number,
  ) {
    const { vendor, architecture, device: model, description } = info;
    const adapter = [vendor, architecture, model, description, gpuVersion()].join(" ");
    this.info = { kind: "webgpu", name: adapterName(info), software: isSoftware(info), adapter };
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      watch.failure ??= refusal(event.error.message);
    });
    device.lost.then(({ reason, message }) => watch.lose(message || reason));
  }

  get limits(): MemoryLimits {
    const { maxStorageBufferBindingSize: maxBinding, maxBufferSize: maxBuffer } = this.device.limits;
    const { software, refused = Infinity } = this.info;
    // A software driver uses main memory, a page's buffers count as the page's. WebGPU does not report the memory of a
    // graphics card: it is known once a plan was refused.
    const known = software || platformName === "browser" ? (availableMemory() ?? Infinity) : Infinity;
    const total = Math.min(known, refused - 1);
    return { maxBinding, maxBuffer, ...(total === Infinity ? {} : { total }) };
  }

  async prepare(program: Program, sharedFrom?: WebGPUSession): Promise<Session> {
    return this.open(program, sharedFrom).catch(this.watch.refuse);
  }

  private async open(program: Program, sharedFrom?: WebGPUSession): Promise<WebGPUSession> {
    this.watch.check();
    const memory = withoutShared(program, sharedFrom?.program);
    if (!fits(memory, this.limits)) checkMemory(memory, this.limits);
    const used = dispatchesOf([program]);
    const compiled = new Map(
      await Promise.all(used.map(async (shader) => [shader, await this.compile(shader)] as const)),
    );
    let session: WebGPUSession;
    let reported: Promise<(GPUError | null)[]>;
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("validation");
    try {
      session = new WebGPUSession(this, program, compiled, sharedFrom);
    } finally {
      // Pop both synchronously: scopes form one stack, and another `prepare` may push its own later.
      reported = Promise.all([this.device.popErrorScope(), this.device.popErrorScope()]);
      reported.catch(() => {});
    }
    const [invalid, outOfMemory] = await this.watch.wait(reported);
    if (!invalid && !outOfMemory) return session;
    session.destroy();
    if (!outOfMemory)
      throw new DeviceError("device-failed", "the device refused the plan", { found: invalid!.message });
    const { total } = memoryTotals(memory);
    this.info.refused = Math.min(total, this.info.refused ?? Infinity);
    throw new DeviceError("out-of-memory", `the device has no memory for ${formatBytes(total)}`, {
      found: outOfMemory.message,
      hint: SMALLER_BATCH,
    });
  }

  destroy(): void {
    this.watch.fail(new DeviceError("already-destroyed", "the device was released"));
    this.device.destroy();
    this.release();
  }

  /** Waits for a promise of the device; if that is a software driver, without taking its time. */
  wait<T>(promise: Promise<T>): Promise<T> {
    const answer = this.watch.wait(promise);
    // A failure is reported by the promise.
    if (platformName === "browser") nudgeUntil(this.device.queue, answer).catch(() => {});
    return this.info.software ? restUntil(answer) : answer;
  }

  /** The pipeline of a dispatch's shader with its constants, created once. */
  private compile(dispatch: Dispatch): Promise<Compiled> {
    const key = pipelineName(dispatch);
    const compiled = this.kernels.get(key) ?? this.createPipeline(dispatch);
    this.kernels.set(key, compiled);
    compiled.catch(() => this.kernels.delete(key));
    return compiled;
  }

  private async createPipeline(dispatch: Dispatch): Promise<Compiled> {
    const shader = chooseShader(dispatch);
    const { kernel } = dispatch;
    const { device } = this;
    const label = shader.name;
    const code = kernel.wgsl ?? assembleShader(kernel, shader);
    const access = Object.values(kernel.bindings);
    const elements = Object.values(kernel.elements);
    const layout = device.createBindGroupLayout({
      label,
      entries: [
        ...access.map((kind, binding) => ({
          binding,
          visibility: COMPUTE_STAGE,
          buffer: { type: bufferType(kind, elements[binding]!) },
        })),
        { binding: access.length, visibility: COMPUTE_STAGE, buffer: { type: "uniform" as const } },
      ],
    });
    const module = device.createShaderModule({ label, code });
    try {
      const created = device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main", constants: pipelineConstants(dispatch) },
      });
      const pipeline = await this.wait(created);
      return { shader, layout, pipeline };
    } catch (error) {
      if (error instanceof LowrankError) throw error;
      const { messages } = await this.watch.wait(module.getCompilationInfo());
      const found = messages
        .filter(({ type }) => type === "error")
        .map(({ lineNum, message }) => `line ${lineNum}: ${message}`)
        .join("; ");
      if (!found) this.watch.check();
      const summary = found ? "does not compile" : "compiles, but has no pipeline";
      throw new DeviceError("device-failed", `the shader ${label} ${summary}`, {
        found: found || String(error),
        cause: error,
      });
    }
  }
}

interface Step {
  /** The shader's name. */
  label: string;
  pipeline: GPUComputePipeline;
  group: GPUBindGroup;
  scalars: Scalars;
  /** Of all its tensors. */
  bytes: number;
}

interface Recorded {
  clears: Tensor[];
  steps: Step[];
  /** The scalars of steps that change. */
  changing: Scalars[];
}

class WebGPUSession implements Session {
  private readonly buffers: GPUBuffer[] = [];
  private readonly uniforms: GPUBuffer;
  private readonly scalars: ScalarList;
  /** Bound in the place of absent tensors: a dispatch may not read and write one buffer. */
  private readonly absentRead: GPUBuffer;
  private readonly absentWritten: GPUBuffer;
  private readonly segments = new Map<SegmentName, Recorded>();
  private readonly staging: GPUBuffer[] = [];
  private released = false;
  private times: Map<string, number> | null = null;
  private Timer: typeof DispatchTimer | null = null;
  /** Resolves when the times of all runs so far have been added. */
  private timed: Promise<void> = Promise.resolve();

  constructor(
    private readonly backend: WebGPUBackend,
    readonly program: Program,
    private readonly compiled: ReadonlyMap<Dispatch, Compiled>,
    sharedFrom?: WebGPUSession,
  ) {
    sharedFrom?.check();
    const count = program.segments.reduce((sum, { dispatches }) => sum + dispatches.length, 0);
    this.scalars = new ScalarList(count);
    this.uniforms = backend.device.createBuffer({
      label: "scalars",
      size: this.scalars.bytes.byteLength,
      usage: UNIFORM | COPY_DST,
    });
    this.absentRead = backend.device.createBuffer({ label: "absent", size: 16, usage: STORAGE });
    this.absentWritten = backend.device.createBuffer({ label: "absent", size: 16, usage: STORAGE });
    try {
      this.allocate(sharedFrom);
      for (const { tensor, contents } of listTables(program)) this.write(tensor, contents);
      this.bind();
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  private allocate(sharedFrom: WebGPUSession | undefined): void {
    const { device, users } = this.backend;
    const uniform = new Set(uniformBuffers(this.program));
    // Bindings have at least 16 bytes, including those of views at the end of a buffer, which start at multiples
    // of 256.
    const shared = sharedBuffers(this.program, sharedFrom?.program);
    for (const [i, { label, bytes }] of this.program.memory.buffers.entries()) {
      const root = shared.get(i);
      const buffer = root
        ? sharedFrom!.findBuffer(root)
        : device.createBuffer({
            label,
            size: Math.ceil(bytes / 16) * 16,
            usage: STORAGE | COPY_SRC | COPY_DST | (uniform.has(i) ? UNIFORM : 0),
          });
      users.set(buffer, (users.get(buffer) ?? 0) + 1);
      this.buffers.push(buffer);
    }
  }

  private bind(): void {
    for (const { name, clears, dispatches } of this.program.segments) {
      const steps = dispatches.map((dispatch): Step => {
        const { shader, layout, pipeline } = this.compiled.get(dispatch)!;
        const scalars = this.scalars.add(dispatch, shader);
        const uniform = { buffer: this.uniforms, offset: scalars.offset, size: scalars.size };
        const tensors = dispatch.tensors.map((tensor, i) =>
          tensor
            ? this.binding(tensor)
            : { buffer: dispatch.access[i] === "read" ? this.absentRead : this.absentWritten },
        );
        const label = shader.name;
        const group = this.backend.device.createBindGroup({
          label,
          layout,
          entries: [...tensors, uniform].map((resource, binding) => ({ binding, resource })),
        });
        const bytes = boundTensors(dispatch).reduce((sum, { tensor }) => sum + tensor.bytes, 0);
        return { label, pipeline, group, scalars, bytes };
      });
      const changing = steps.map(({ scalars }) => scalars).filter(({ changes }) => changes.length > 0);
      this.segments.set(name, { clears, steps, changing });
    }
    this.uploadScalars(0, this.scalars.bytes.byteLength);
  }

  private uploadScalars(first: number, end: number): void {
    const { buffer } = this.scalars.bytes;
    if (first < end) this.backend.device.queue.writeBuffer(this.uniforms, first, buffer, first, end - first);
  }

  write(tensor: Tensor, data: TensorData, offset = 0): void {
    this.check();
    expectWrite(tensor, offset, data.length);
    try {
      this.upload(tensor, data, offset);
    } catch (error) {
      this.backend.watch.refuse(error);
    }
  }

  private upload(tensor: Tensor, data: TensorData, offset: number): void {
    const start = tensor.isInBlocks ? 0 : tensor.byteOffset + offset * tensor.elementBytes;
    const buffer = this.findBuffer(tensor);
    const words = wholeWords(data);
    for (let at = 0; at < words.byteLength; at += WRITE_BYTES) {
      const size = Math.min(WRITE_BYTES, words.byteLength - at);
      this.backend.device.queue.writeBuffer(
        buffer,
        start + at,
        words.buffer as ArrayBuffer,
        words.byteOffset + at,
        size,
      );
    }
  }

  async flush(): Promise<void> {
    this.check();
    const { backend, timed } = this;
    const { queue } = backend.device;
    queue.submit([]);
    await Promise.all([backend.wait(queue.onSubmittedWorkDone()), timed]).catch(backend.watch.refuse);
    backend.watch.check();
  }

  read(tensor: Tensor, offset = 0, count = tensor.size - offset): Promise<Float32Array> {
    return this.copy(tensor, offset, count).catch(this.backend.watch.refuse);
  }

  private async copy(tensor: Tensor, offset: number, count: number): Promise<Float32Array> {
    this.check();
    const { device } = this.backend;
    const { dtype, isInBlocks, elementBytes } = tensor;
    const start = isInBlocks ? 0 : tensor.byteOffset + offset * elementBytes;
    // Copies are in whole words, which may include an extra half before and after.
    const before = start % 4;
    const bytes = isInBlocks ? tensor.bytes : Math.ceil((before + count * elementBytes) / 4) * 4;
    const spare = this.staging.findIndex(({ size }) => size >= bytes && size <= 4 * bytes + 1024);
    const [staging] =
      spare >= 0
        ? this.staging.splice(spare, 1)
        : [device.createBuffer({ label: "read", size: bytes, usage: MAP_READ | COPY_DST })];
    const encoder = device.createCommandEncoder({ label: "read" });
    encoder.copyBufferToBuffer(this.findBuffer(tensor), start - before, staging!, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await this.backend.wait(staging!.mapAsync(MAP_READ_MODE, 0, bytes));
    await this.timed;
    this.backend.watch.check();
    const copy = staging!.getMappedRange(0, bytes).slice(0);
    staging!.unmap();
    // Small buffers are reused: the loss is read every step. Large ones serve checkpoints and are freed.
    if (bytes <= 1 << 16 && !this.released) this.staging.push(staging!);
    else staging!.destroy();
    return dtype === "f16" ? halfToFloat(new Uint16Array(copy, before, count)) : new Float32Array(copy);
  }

  async time(times: Map<string, number> | null): Promise<void> {
    const isTimed = times && this.backend.device.features.has(TIMESTAMPS);
    this.Timer = isTimed ? DispatchTimer : null;
    this.times = times;
  }

  run(names: readonly SegmentName[], values: StepValues): void {
    this.check();
    try {
      if (this.Timer) this.runTimed(names, values);
      else this.submit(names, values);
    } catch (error) {
      this.backend.watch.refuse(error);
    }
  }

  private submit(names: readonly SegmentName[], values: StepValues): void {
    const { device, pace, watch } = this.backend;
    const label = names.join("+");
    const done = () => watch.wait(device.queue.onSubmittedWorkDone());
    let encoder = device.createCommandEncoder({ label });
    let submitted = 0;
    let work = 0;
    for (const name of names) {
      const { steps } = this.begin(name, values, encoder);
      let pass = encoder.beginComputePass();
      for (const step of steps) {
        const own = estimateWork(step.scalars.dims, step.bytes);
        if (work > submitted && work + own - submitted > pace.most) {
          pass.end();
          device.queue.submit([encoder.finish()]);
          // Many parts may be behind one answer.
          done().catch(() => {});
          encoder = device.createCommandEncoder({ label });
          pass = encoder.beginComputePass();
          submitted = work;
        }
        work += own;
        encode(pass, step);
      }
      pass.end();
    }
    device.queue.submit([encoder.finish()]);
    pace.measure(work, done);
  }

  /** Every dispatch in a pass of its own, whose times are added. */
  private runTimed(names: readonly SegmentName[], values: StepValues): void {
    const { device } = this.backend;
    const encoder = device.createCommandEncoder({ label: names.join("+") });
    const timer = new this.Timer!(device, this.program);
    for (const name of names)
      for (const step of this.begin(name, values, encoder).steps) {
        const pass = timer.pass(encoder, step.label);
        encode(pass, step);
        pass.end();
      }
    const added = timer.submit(encoder, this.times!, this.backend);
    this.timed = Promise.all([this.timed, added]).then(() => {});
    // A failure is reported where the times are waited for.
    this.timed.catch(() => {});
  }

  /** Writes a segment's scalars and clears what it adds to. */
  private begin(name: SegmentName, values: StepValues, encoder: GPUCommandEncoder): Recorded {
    const segment = this.segments.get(name)!;
    const { first, end } = this.scalars.update(segment.changing, values);
    this.uploadScalars(first, end);
    for (const tensor of segment.clears) encoder.clearBuffer(this.findBuffer(tensor), tensor.byteOffset, tensor.bytes);
    return segment;
  }

  /** WebGPU cannot drop submitted work. */
  drop(): void {}

  destroy(): void {
    this.released = true;
    for (const buffer of this.buffers.splice(0)) {
      const left = this.backend.users.get(buffer)! - 1;
      this.backend.users.set(buffer, left);
      if (left === 0) buffer.destroy();
    }
    for (const buffer of [this.uniforms, this.absentRead, this.absentWritten, ...this.staging.splice(0)])
      buffer.destroy();
  }

  private check(): void {
    if (this.released) throw new DeviceError("already-destroyed", RELEASED);
    this.backend.watch.check();
  }

  private findBuffer(tensor: Tensor): GPUBuffer {
    const index = this.program.memory.bufferIndex.get(tensor.root);
    if (index === undefined) throw new DeviceError("not-in-plan", `${tensor.name} is not part of the plan`);
    return this.buffers[index]!;
  }

  private binding(tensor: Tensor): GPUBufferBinding {
    return { buffer: this.findBuffer(tensor), offset: tensor.byteOffset, size: Math.max(16, tensor.bytes) };
  }
}

function encode(pass: GPUComputePassEncoder, { pipeline, group, scalars }: Step): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...scalars.grid);
}

function bufferType(access: Access, element: Element): GPUBufferBindingType {
  if (isTable(element)) return "uniform";
  return access === "read" ? "read-only-storage" : "storage";
}

/** The buffers, by index, that kernels bind as tables. */
function uniformBuffers({ segments, memory }: Program): number[] {
  return segments.flatMap(({ dispatches }) =>
    dispatches.flatMap(({ kernel, tensors }) =>
      Object.values(kernel.elements).flatMap((element, i) =>
        isTable(element) ? [memory.bufferIndex.get(tensors[i]!.root)!] : [],
      ),
    ),
  );
}

/** The data, padded with a 0 after an odd number of halves to a whole word. */
function wholeWords(data: TensorData): TensorData {
  if (data.byteLength % 4 === 0) return data;
  const padded = new Uint16Array(data.length + 1);
  padded.set(data);
  return padded;
}
