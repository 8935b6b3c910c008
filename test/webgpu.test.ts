/** The WebGPU backend where a device fails, by a device that is none: what it reports, and what is left behind. */
import * as assert from "uvu/assert";
import { requestGPU } from "#platform";
import { openDevice } from "../src/backend/device.ts";
import { openWebGPU } from "../src/backend/webgpu.ts";
import { DeviceError } from "../src/errors.ts";
import { NO_VALUES, type Scalar } from "../src/ops/kernel.ts";
import { residualForward } from "../src/ops/residual.ts";
import { planMemory } from "../src/plan/memory.ts";
import { Tensor } from "../src/tensor.ts";
import { assertFails } from "./border.ts";
import { test } from "./harness.ts";

/** Larger buffers than this are out of memory. */
const ROOM = 1000;

/** As much of a GPUDevice as the backend uses; it computes nothing. */
class FakeDevice {
  readonly features = new Set<string>();
  readonly limits = { maxStorageBufferBindingSize: 1 << 20, maxBufferSize: 1 << 20 };
  readonly lost = new Promise<never>(() => {});
  readonly scopes: { kind: GPUErrorFilter; error: GPUError | null }[] = [];
  /** Labels of buffers that are there. */
  readonly buffers: string[] = [];
  /** Uploads as [label, first byte, bytes]. */
  readonly writes: [string, number, number][] = [];
  readonly queue = {
    writeBuffer: ({ label }: { label: string }, at: number, _: unknown, __: number, size: number) =>
      this.writes.push([label, at, size]),
    submit() {},
  };
  messages: { type: string; lineNum: number; message: string }[] = [];
  pipeline: () => Promise<unknown> = async () => ({});

  addEventListener(): void {}
  destroy(): void {}
  createBindGroupLayout(): void {}
  createPipelineLayout(): void {}
  createBindGroup(): void {}
  createShaderModule = () => ({ getCompilationInfo: async () => ({ messages: this.messages }) });
  createComputePipelineAsync = () => this.pipeline();

  createCommandEncoder() {
    const nothing = () => {};
    const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
    return { beginComputePass: () => pass, finish: nothing };
  }

  createBuffer({ label, size }: { label: string; size: number }) {
    const scope = this.scopes.findLast(({ kind }) => kind === "out-of-memory");
    if (size > ROOM && scope) scope.error ??= { message: `no room for ${label}` };
    this.buffers.push(label);
    return { label, destroy: () => this.buffers.splice(this.buffers.indexOf(label), 1) };
  }

  pushErrorScope(kind: GPUErrorFilter): void {
    this.scopes.push({ kind, error: null });
  }

  popErrorScope = (): Promise<GPUError | null> => Promise.resolve(this.scopes.pop()!.error);
}

/** Runs `body` where `requestDevice` is all that the system's hardware adapter does. */
async function withAdapter(requestDevice: () => Promise<unknown>, body: () => Promise<void>): Promise<void> {
  const gpu = (await requestGPU())!;
  const { limits, features } = new FakeDevice();
  const adapter = { info: { description: "a graphics card" }, limits, features, requestDevice };
  Object.defineProperty(gpu, "requestAdapter", { value: async () => adapter, configurable: true });
  await body().finally(() => Reflect.deleteProperty(gpu, "requestAdapter"));
}

function testFake(name: string, body: (device: FakeDevice) => Promise<void>): void {
  const device = new FakeDevice();
  test(name, () =>
    withAdapter(
      async () => device,
      () => body(device),
    ),
  );
}

function sum(elements: number, rows: Scalar = 1) {
  const [out, a, b] = ["out", "a", "b"].map((name) => new Tensor(`${name} ${elements}`, [1, elements], "output"));
  const segments = [{ name: "forward" as const, clears: [], dispatches: [residualForward(out!, a!, b!, rows)] }];
  return { segments, memory: planMemory(segments) };
}

test("auto selects the CPU if a hardware adapter provides no device, and gives the reason", async () => {
  const refuse = () => Promise.reject(new Error("a limit is too large"));
  await withAdapter(refuse, async () => {
    const device = await openDevice("auto", { threads: 1 });
    device.destroy();
    assert.is(device.info.kind, "wasm");
    assert.is(device.info.why, "WebGPU did not provide a device: a limit is too large");
    await assertFails(DeviceError, ["did not provide a device", "a limit is too large"], () => openDevice("webgpu"));
  });
});

testFake("of two concurrent programs the one that does not fit is refused, and its memory is freed", async (device) => {
  const backend = await openWebGPU();
  (await backend.prepare(sum(8))).destroy();
  assert.equal(device.buffers, []);
  const [large, small] = await Promise.allSettled([backend.prepare(sum(ROOM)), backend.prepare(sum(8))]);
  assert.is(small.status, "fulfilled");
  assert.is(large.status, "rejected");
  assert.match((large as PromiseRejectedResult).reason.message, /out of memory\n {2}found: {4}no room for out 1000/);
  assert.equal(device.buffers.sort(), ["a 8", "b 8", "out 8", "scalars"]);
});

testFake("an invalid plan leaves no buffer and no error scope", async (device) => {
  const backend = await openWebGPU();
  const { segments, memory } = sum(8);
  const place = new Map([...memory.bufferOf].slice(0, 2));
  await assertFails(DeviceError, ["b 8 is not part of the plan"], () =>
    backend.prepare({ segments, memory: { ...memory, bufferOf: place } }),
  );
  assert.equal([device.buffers, device.scopes], [[], []]);
});

testFake("a pipeline that the device cannot create is not reported as a shader error", async (device) => {
  const backend = await openWebGPU();
  device.pipeline = () => Promise.reject(new Error("internal"));
  device.messages = [{ type: "warning", lineNum: 1, message: "slow" }];
  await assertFails(DeviceError, ["residual_forward.wgsl compiles, but", "internal"], () => backend.prepare(sum(8)));
  device.messages.push({ type: "error", lineNum: 7, message: "no type" });
  await assertFails(DeviceError, ["does not compile", "line 7: no type"], () => backend.prepare(sum(8)));
  device.messages = [];
  device.pipeline = () => {
    backend.destroy();
    return Promise.reject(new Error("internal"));
  };
  await assertFails(DeviceError, ["the device was released"], () => backend.prepare(sum(8)));
});

testFake("a step uploads only the scalars that change", async (device) => {
  const backend = await openWebGPU();
  for (const [rows, uploads] of [
    [1, []],
    ["tokens", [["scalars", 0, 4]]],
  ] as const) {
    const session = await backend.prepare(sum(8, rows));
    assert.equal(device.writes.splice(0), [["scalars", 0, 256]]);
    session.run(["forward"], { ...NO_VALUES, tokens: 1 });
    assert.equal(device.writes.splice(0), uploads);
    session.destroy();
  }
});

test("while times are asked for, each kernel's milliseconds are added up, and results stay the same", async () => {
  const device = await openWebGPU();
  const program = sum(8);
  const [out, a, b] = program.segments[0]!.dispatches[0]!.tensors as [Tensor, Tensor, Tensor];
  const session = await device.prepare(program);
  session.write(
    a,
    Float32Array.from({ length: 8 }, (_, i) => i),
  );
  session.write(b, new Float32Array(8).fill(0.5));
  const times = new Map<string, number>();
  session.times = times;
  for (let i = 0; i < 3; i++) session.run(["forward"], NO_VALUES);
  assert.equal([...(await session.read(out))], [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]);
  assert.equal([...times.keys()], ["residual_forward"]);
  const ms = times.get("residual_forward")!;
  assert.ok(ms >= 0 && ms < 10_000, `${ms} ms`);
  session.times = null;
  session.run(["forward"], NO_VALUES);
  await session.flush();
  assert.is(times.get("residual_forward"), ms);
  session.destroy();
  device.destroy();
});
