/** The WebGPU backend where a device fails, by a device that is none: what it reports, and what is left behind. */
import * as assert from "uvu/assert";
import { requestGPU } from "#platform";
import { describeDevice } from "../../src/backend/backend.ts";
import { openDevice } from "../../src/backend/device.ts";
import { isSoftware, openWebGPU } from "../../src/backend/webgpu.ts";
import { nudgeUntil } from "../../src/backend/webgpu-nudge.ts";
import { Pace } from "../../src/backend/webgpu-pace.ts";
import { Tensor } from "../../src/core/tensor.ts";
import { NO_VALUES } from "../../src/ops/kernel.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

/** Larger buffers than this are out of memory. */
const ROOM = 5000;

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
    submit: (commands: number[]) => void this.submissions.push(...commands),
    onSubmittedWorkDone: () => this.done,
  };
  /** The number of dispatches of each submission. */
  readonly submissions: number[] = [];
  /** Ends what was submitted. */
  end = () => {};
  readonly done = new Promise<void>((resolve) => {
    this.end = resolve;
  });
  messages: { type: string; lineNum: number; message: string }[] = [];
  pipeline: () => Promise<unknown> = async () => ({});

  addEventListener(): void {}
  destroy(): void {}
  createBindGroupLayout(): void {}
  createPipelineLayout(): void {}
  createBindGroup(): void {}
  createQuerySet = ({ count }: { count: number }) => ({ count });
  createShaderModule = () => ({ getCompilationInfo: async () => ({ messages: this.messages }) });
  createComputePipelineAsync = () => this.pipeline();

  createCommandEncoder() {
    const nothing = () => {};
    let dispatches = 0;
    const dispatchWorkgroups = () => void dispatches++;
    const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups, end: nothing };
    const [resolveQuerySet, copyBufferToBuffer] = [nothing, nothing];
    return { beginComputePass: () => pass, finish: () => dispatches, resolveQuerySet, copyBufferToBuffer };
  }

  createBuffer({ label, size }: { label: string; size: number }) {
    const scope = this.scopes.findLast(({ kind }) => kind === "out-of-memory");
    if (size > ROOM && scope) scope.error ??= { message: `no room for ${label}` };
    this.buffers.push(label);
    const destroy = () => this.buffers.splice(this.buffers.indexOf(label), 1);
    return { label, destroy, mapAsync: () => new Promise<never>(() => {}) };
  }

  pushErrorScope(kind: GPUErrorFilter): void {
    this.scopes.push({ kind, error: null });
  }

  popErrorScope = (): Promise<GPUError | null> => Promise.resolve(this.scopes.pop()!.error);
}

/** Runs `body` where the system's adapters are these. */
async function withAdapters(requestAdapter: GPU["requestAdapter"], body: () => Promise<void>): Promise<void> {
  const gpu = await requestGPU();
  Object.defineProperty(gpu, "requestAdapter", { value: requestAdapter, configurable: true });
  await body().finally(() => Reflect.deleteProperty(gpu, "requestAdapter"));
}

/** Runs `body` where `requestDevice` is all that the system's hardware adapter does. */
function withAdapter(requestDevice: () => Promise<unknown>, body: () => Promise<void>): Promise<void> {
  const { limits, features } = new FakeDevice();
  const adapter = { info: { description: "a graphics card" }, limits, features, requestDevice };
  return withAdapters(async () => adapter as unknown as GPUAdapter, body);
}

function testFake(name: string, body: (device: FakeDevice) => Promise<void>): void {
  const device = new FakeDevice();
  test(name, () =>
    withAdapter(
      async () => device,
      // What waits for its work would keep the process.
      () => body(device).finally(device.end),
    ),
  );
}

/** out = a b, with a single row and a single step of the depth. */
function product(elements: number, m: 1 | "tokens" = 1) {
  const tensor = (name: string, n = elements) => new Tensor(`${name} ${elements}`, [1, n], "output");
  const args = { out: tensor("out"), a: tensor("a", 1), b: tensor("b"), m, n: elements, k: 1 };
  const segments = [{ name: "forward" as const, clears: [], dispatches: [matmul(args)] }];
  return { segments, memory: planMemory(segments) };
}

test("auto selects the CPU if a hardware adapter provides no device, and gives the reason", async () => {
  const refuse = () => Promise.reject(new Error("a limit is too large"));
  await withAdapter(refuse, async () => {
    const device = await openDevice("auto", { threads: 1 });
    device.destroy();
    assert.is(device.info.kind, "wasm");
    assert.is(device.info.why, "WebGPU did not provide a device: a limit is too large");
    await assertFails("no-webgpu", ["a limit is too large"], () => openDevice("webgpu"));
  });
});

test("an adapter of OpenGL ES is named as the reason for which there is no WebGPU", async () => {
  const angle = { info: { vendor: "", architecture: "", device: "", description: "ANGLE (Google, Vulkan 1.3.0)" } };
  const asked: GPURequestAdapterOptions[] = [];
  const requestAdapter = async (options: GPURequestAdapterOptions = {}) => {
    asked.push(options);
    return options.featureLevel === "compatibility" ? (angle as GPUAdapter) : null;
  };
  await withAdapters(requestAdapter, async () => {
    const words = ["the only WebGPU adapter is one of OpenGL ES", "ANGLE (Google", 'device "wasm"'];
    await assertFails("no-webgpu", words, () => openDevice("webgpu"));
  });
  assert.equal(
    asked.map(({ powerPreference }) => powerPreference),
    ["high-performance", "high-performance"],
  );
});

test("software drivers are recognised, by their names or because the browser says so", () => {
  const none = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  const software: Partial<GPUAdapterInfo>[] = [
    // Of Chrome on a machine without a GPU, and with developer features; of Dawn in Node; of Windows.
    { vendor: "google", architecture: "swiftshader" },
    { vendor: "google", architecture: "swiftshader", description: "SwiftShader Device (Subzero)" },
    { vendor: "mesa", architecture: "software", description: "llvmpipe: Mesa 25.0.7 (LLVM 19.1.7)" },
    { vendor: "microsoft", device: "0x8c", description: "Microsoft Basic Render Driver" },
    { isFallbackAdapter: true },
  ];
  for (const info of software) assert.ok(isSoftware({ ...none, ...info } as GPUAdapterInfo), JSON.stringify(info));
  const hardware: Partial<GPUAdapterInfo>[] = [
    { vendor: "nvidia", architecture: "ampere" },
    { vendor: "apple", architecture: "metal-3" },
    { description: "AMD Radeon RX 6800 XT (RADV NAVI21)" },
  ];
  for (const info of hardware) assert.not.ok(isSoftware({ ...none, ...info } as GPUAdapterInfo), JSON.stringify(info));
});

testFake("of two concurrent programs the one that does not fit is refused, and its memory is freed", async (device) => {
  const backend = await openWebGPU(await requestGPU());
  (await backend.prepare(product(8))).destroy();
  assert.equal(device.buffers, []);
  const [large, small] = await Promise.allSettled([backend.prepare(product(ROOM)), backend.prepare(product(8))]);
  assert.is(small.status, "fulfilled");
  assert.is(large.status, "rejected");
  const { message } = (large as PromiseRejectedResult).reason;
  assert.match(message, /no memory for \d+(\.\d)? \S+\n {2}found: {4}no room for out 5000/);
  // From now on it is known.
  assert.match(describeDevice(backend.info), /; no memory for \d/);
  assert.is(backend.limits.total, backend.info.refused! - 1);
  await assertFails("out-of-memory", ["does not fit"], () => backend.prepare(product(ROOM)));
  assert.equal(device.buffers.sort(), ["a 8", "absent", "absent", "b 8", "matmul.jobs", "out 8", "scalars"]);
});

testFake("an invalid plan leaves no buffer and no error scope", async (device) => {
  const backend = await openWebGPU(await requestGPU());
  const { segments, memory } = product(8);
  const place = new Map([...memory.bufferIndex].slice(0, 2));
  await assertFails("not-in-plan", ["b 8 is not part of the plan"], () =>
    backend.prepare({ segments, memory: { ...memory, bufferIndex: place } }),
  );
  assert.equal([device.buffers, device.scopes], [[], []]);
});

testFake("a pipeline that the device cannot create is not reported as a shader error", async (device) => {
  const backend = await openWebGPU(await requestGPU());
  device.pipeline = () => Promise.reject(new Error("internal"));
  device.messages = [{ type: "warning", lineNum: 1, message: "slow" }];
  await assertFails("device-failed", ["matmul_narrow.scalar compiles, but", "internal"], () =>
    backend.prepare(product(8)),
  );
  device.messages.push({ type: "error", lineNum: 7, message: "no type" });
  await assertFails("device-failed", ["does not compile", "line 7: no type"], () => backend.prepare(product(8)));
  device.messages = [];
  device.pipeline = () => {
    backend.destroy();
    return Promise.reject(new Error("internal"));
  };
  await assertFails("already-destroyed", ["the device was released"], () => backend.prepare(product(8)));
});

/** Runs `body` where `count` is what makes seconds go by, and `timers` are those that tick. */
async function withSeconds(body: (count: (seconds: number) => void, timers: Set<() => void>) => Promise<void>) {
  const { setInterval, clearInterval } = globalThis;
  const timers = new Set<() => void>();
  const start = (tick: () => void, ms: number) => {
    assert.is(ms, 1000);
    timers.add(tick);
    return tick;
  };
  Object.assign(globalThis, { setInterval: start, clearInterval: (tick: () => void) => timers.delete(tick) });
  const count = (seconds: number) => {
    for (let i = 0; i < seconds; i++) for (const tick of timers) tick();
  };
  await body(count, timers).finally(() => Object.assign(globalThis, { setInterval, clearInterval }));
}

const forever = new Promise<never>(() => {});
const assertLost = (waiting: Promise<unknown>) =>
  assertFails("device-lost", ["the device was lost", "no answer"], () => waiting);

testFake("a device that hangs counts as lost after a minute without an answer, which may take longer", () =>
  withSeconds(async (count, timers) => {
    const backend = await openWebGPU(await requestGPU());
    const session = await backend.prepare(product(8));
    const flushed = [session.flush(), session.flush()];
    count(59);
    // Another answer of the device.
    (await backend.prepare(product(16))).destroy();
    count(59);
    assert.is(timers.size, 1);
    count(1);
    // None of those that wait has a minute of its own, nor what asks afterwards: that would hold the process.
    assert.is(timers.size, 0);
    for (const one of flushed) await assertLost(one);
    await assertLost(backend.prepare(product(8)));
    assert.is(timers.size, 0);
  }),
);

const nextTick = () => new Promise((resolve) => setTimeout(resolve, 1));

for (const part of ["pipeline", "popErrorScope"] as const)
  testFake(`a device that falls silent over its ${part} counts as lost`, (device) =>
    withSeconds(async (count, timers) => {
      device[part] = () => forever;
      const backend = await openWebGPU(await requestGPU());
      const prepared = assertLost(backend.prepare(product(8)));
      // It begins after the shader's source is there.
      while (timers.size === 0) await nextTick();
      if (part === "popErrorScope") while (device.scopes.length === 0) await nextTick();
      count(60);
      await prepared;
      assert.is(timers.size, 0);
    }),
  );

testFake("a device that falls silent over the times of its kernels counts as lost", (device) =>
  withSeconds(async (count, timers) => {
    device.features.add("timestamp-query");
    const backend = await openWebGPU(await requestGPU());
    const session = await backend.prepare(product(8));
    await session.time!(new Map());
    for (let i = 0; i < 2; i++) session.run(["forward"], NO_VALUES);
    device.end();
    const flushed = assertLost(session.flush());
    await nextTick();
    count(60);
    await flushed;
    assert.is(timers.size, 0);
  }),
);

test("a device that is never provided counts as lost, and a lost one ends what waits for it", async () => {
  await withAdapter(
    () => forever,
    () =>
      withSeconds(async (count, timers) => {
        const opened = requestGPU().then((gpu) => openWebGPU(gpu));
        while (timers.size === 0) await nextTick();
        count(60);
        await assertLost(opened);
      }),
  );
  const device = new FakeDevice();
  let lose = (_: Pick<GPUDeviceLostInfo, "reason" | "message">) => {};
  const lost = new Promise((resolve) => {
    lose = resolve;
  });
  await withAdapter(
    async () => Object.assign(device, { lost }),
    async () => {
      const session = await (await openWebGPU(await requestGPU())).prepare(product(8));
      const flushed = session.flush();
      lose({ reason: "unknown", message: "the driver was reset" });
      await assertFails("device-lost", ["the driver was reset"], () => flushed);
    },
  );
});

testFake("a step uploads only the scalars that change", async (device) => {
  const backend = await openWebGPU(await requestGPU());
  for (const [rows, uploads] of [
    [1, []],
    ["tokens", [["scalars", 0, 4]]],
  ] as const) {
    const session = await backend.prepare(product(8, rows));
    const tables = ["matmul.jobs", 0, 48];
    assert.equal(device.writes.splice(0), [tables, ["scalars", 0, 256]]);
    session.run(["forward"], { ...NO_VALUES, tokens: 1 });
    assert.equal(device.writes.splice(0), uploads);
    session.destroy();
  }
});

testFake("a list is submitted in parts of about 75 ms, by the rate that was measured", async (device) => {
  const backend = await openWebGPU(await requestGPU());
  const one = product(8, "tokens");
  const dispatches = Array.from({ length: 3 }, () => one.segments[0]!.dispatches[0]!);
  const session = await backend.prepare({ ...one, segments: [{ name: "forward", clears: [], dispatches }] });
  const submitted = (tokens: number) => {
    session.run(["forward"], { ...NO_VALUES, tokens });
    return device.submissions.splice(0);
  };
  // A token is 16 operations in each dispatch. 7.5e9 may be in a submission.
  assert.equal(submitted(100), [3]);
  assert.equal(submitted(200_000_000), [2, 1]);
  assert.equal(submitted(4_000_000_000), [1, 1, 1]);
  session.destroy();
});

test("the pace follows the fastest of the first runs that had the device to themselves", async () => {
  const pace = new Pace();
  const guess = pace.most;
  const ends: (() => void)[] = [];
  const submit = (work: number) => pace.measure(work, () => new Promise<void>((end) => ends.push(end)));
  const end = async () => {
    ends.shift()!();
    await Promise.resolve();
  };
  submit(1);
  submit(1e30);
  await end();
  // The first run took a millisecond or more for one operation; the second one waited for it.
  assert.ok(pace.most <= 75, `${pace.most}`);
  await end();
  assert.ok(pace.most <= 75, `${pace.most}`);
  submit(1e30);
  await end();
  const fastest = pace.most;
  assert.ok(fastest > guess);
  submit(1);
  await end();
  assert.is(pace.most, fastest);
});

test("a wait that ends when something is submitted ends, and nothing is submitted behind it", async () => {
  for (const isFailure of [false, true]) {
    let submitted = 0;
    let settle!: () => void;
    const pending = new Promise<void>((resolve, reject) => {
      settle = isFailure ? () => reject(new Error("lost")) : resolve;
    });
    // The work is done by the third look.
    const submit = (commands: Iterable<unknown>) => {
      assert.equal([...commands], []);
      if (++submitted === 3) settle();
    };
    await nudgeUntil({ submit: submit as GPUQueue["submit"] }, pending);
    await pending.catch(() => {});
    assert.is(submitted, 3);
  }
});

test("while kernels are timed, their milliseconds are summed, and results stay the same", async () => {
  const device = await openWebGPU(await requestGPU());
  const program = product(8);
  const [out, a, b] = program.segments[0]!.dispatches[0]!.tensors as [Tensor, Tensor, Tensor];
  const session = await device.prepare(program);
  session.write(a, Float32Array.of(0.5));
  session.write(
    b,
    Float32Array.from({ length: 8 }, (_, i) => i),
  );
  const times = new Map<string, number>();
  await session.time!(times);
  for (let i = 0; i < 3; i++) session.run(["forward"], NO_VALUES);
  assert.equal([...(await session.read(out))], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]);
  assert.equal([...times.keys()], ["matmul_narrow.scalar"]);
  const ms = times.get("matmul_narrow.scalar")!;
  assert.ok(ms >= 0 && ms < 10_000, `${ms} ms`);
  await session.time!(null);
  session.run(["forward"], NO_VALUES);
  await session.flush();
  assert.is(times.get("matmul_narrow.scalar"), ms);
  session.destroy();
  device.destroy();
});
