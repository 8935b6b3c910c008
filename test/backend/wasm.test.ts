/** The CPU backend: choosing it, its memory, weights in panels, threads, faults; and two backends side by side. */

import * as assert from "uvu/assert";
import { nextTurn, openFile, packagePath, readAsset } from "#platform";
import { type Backend, describeDevice, type Session } from "../../src/backend/backend.ts";
import { CompareBackend, type Compared, refuseWrong } from "../../src/backend/compare.ts";
import { openDevice } from "../../src/backend/device.ts";
import { openInWorker, openWasm, type WasmBackend } from "../../src/backend/wasm.ts";
import { Heap } from "../../src/backend/wasm-heap.ts";
import { LocalMemory } from "../../src/backend/wasm-memory.ts";
import { Workers } from "../../src/backend/wasm-threads.ts";
import { ConfigError, DeviceError, type FormatError } from "../../src/core/errors.ts";
import { floatToHalf, halfToFloat } from "../../src/core/half.ts";
import { Rng } from "../../src/core/rng.ts";
import { Tensor } from "../../src/core/tensor.ts";
import { Engine } from "../../src/engine/engine.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { activationForward } from "../../src/ops/activation.ts";
import { crossentropyBackward } from "../../src/ops/crossentropy.ts";
import { NO_VALUES } from "../../src/ops/kernel.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { planMemory } from "../../src/plan/memory.ts";
import type { SegmentName } from "../../src/plan/plan.ts";
import { checkFile, FIRST_MESSAGE, takeOwn } from "../../src/platform/build.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails } from "../helpers/border.ts";
import { DEVICE_NAMES, failingRun, testDevice } from "../helpers/device.ts";
import { gemm } from "../helpers/gemm.ts";
import { runGolden } from "../helpers/golden.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, OPTIMIZER, randomBatch, smallSpec } from "../helpers/models.ts";

const WASM = DEVICE_NAMES.filter((name) => name.startsWith("wasm"));

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => assert.unreachable("no error"),
    (error) => error,
  );
}

test("auto selects WASM if the adapter is missing or a software driver, and gives the reason", async () => {
  const device = await openDevice("auto", { threads: 2 });
  const { kind, software, why } = device.info;
  device.destroy();
  if (kind === "wasm") {
    assert.match(why!, /^no (WebGPU|WebGPU adapter|hardware GPU found)$/);
    assert.is(describeDevice(device.info), `CPU, 2 threads, relaxed SIMD (${why})`);
  } else assert.not.ok(software);
});

test("every Node since 20 computes with fused multiply-add, as browsers do", async () => {
  const device = await openWasm({ threads: 1 });
  assert.is(device.info.name, "CPU, 1 thread, relaxed SIMD");
  device.destroy();
});

test("a file of another build is refused, in which operations may have other numbers", async () => {
  for (const name of ["kernels.wasm", "kernels-relaxed.wasm", "data.wasm", "tokenizer.wasm", "gpt2.tokenizer.bin"]) {
    const bytes = await readAsset(name);
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const other = bytes.slice();
      other[at]! ^= 1;
      const words = [`${name} is of another build: reload the page or restart`];
      await assertFails("versions-differ", words, () => checkFile(name, other));
    }
    await assertFails("versions-differ", () => checkFile(name, bytes.subarray(1)));
  }
});

test("a worker of another build is refused, whatever it says first", async () => {
  const [messages, errors]: [unknown[], Error[]] = [[], []];
  const taker = () =>
    takeOwn(
      (message) => messages.push(message),
      (error) => errors.push(error),
    );
  const take = taker();
  for (const message of [FIRST_MESSAGE, 1, 2]) take(message);
  assert.equal([messages.splice(0), errors], [[1, 2], []]);
  for (const first of ["0000000", { type: "ready" }, undefined]) taker()(first);
  assert.equal(
    [messages, errors.map((error) => (error as FormatError).code)],
    [[], ["versions-differ", "versions-differ", "versions-differ"]],
  );
});

test("invalid numbers of threads are refused", async () => {
  for (const threads of [-1, 1.5, 65, Number.NaN])
    assert.instance(await rejection(openDevice("wasm", { threads })), ConfigError);
});

test("the heap returns zeros, merges free blocks, and reports when memory is full", async () => {
  const memory = new LocalMemory(new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true }));
  const heap = new Heap(memory);
  const [a, b, c] = (await heap.alloc([1000, 1, 64])) as [number, number, number];
  assert.equal([b - a, c - b], [1024, 64]);
  memory.write([[a, 1024 + 64]], new Uint8Array(1024 + 64).fill(1));
  heap.release(b);
  assert.equal([heap.usedBytes, heap.freeBytes], [1024 + 64, 64]);
  heap.release(a);
  assert.equal([heap.usedBytes, heap.freeBytes], [64, 1024 + 64]);
  const [joined] = await heap.alloc([1024 + 64]);
  assert.is(joined, a);
  assert.ok(memory.read([[a, 1024 + 64]]).every((byte) => byte === 0));
  // All or nothing: what does not exist is not free.
  const before = [heap.usedBytes, heap.freeBytes];
  await assertFails("out-of-memory", ["cannot grow"], () => heap.alloc([100, 4 << 16]));
  assert.equal([heap.usedBytes, heap.freeBytes], before);
  assert.is((await heap.alloc([2 << 16]))[0], c + 64);
});

for (const [device, dtype] of WASM.flatMap((name) => [[name, "f32"] as const, [name, "f16"] as const]))
  test(`a frozen weight in panels of ${dtype} on ${device}: x W, dy W^T, plain rows in and out`, async () => {
    const rng = new Rng(5);
    const normals = (count: number) => Float32Array.from({ length: count }, () => rng.normal());
    for (const [m, k, n] of [
      [1, 3, 8],
      [1, 400, 104],
      [5, 17, 24],
      [9, 400, 16],
      [3, 16, 400],
      [260, 8, 40],
      [7, 300, 520],
      [600, 17, 24],
    ] as const) {
      const weight = new Tensor("weight", [k, n], "weight", dtype);
      const bias = new Tensor("bias", [n], "weight");
      const tensor = (name: string, cols: number) => new Tensor(name, [m, cols], "output");
      const [x, y, dy, dx] = [tensor("x", k), tensor("y", n), tensor("dy", n), tensor("dx", k)];
      const dispatches = [
        matmul({ out: y, a: x, b: weight, m, n, k, bias, alpha: 0.5 }),
        matmul({ out: dx, a: dy, b: weight, transB: true, m, n: k, k: n, beta: 2 }),
      ];
      const segments = [{ name: "forward" as const, clears: [], dispatches }];
      const session = await (await testDevice(device)).prepare({ segments, memory: planMemory(segments) });
      const data = { w: normals(k * n), b: normals(n), x: normals(m * k), dy: normals(m * n), dx: normals(m * k) };
      // In two pieces that begin and end within a panel.
      const halves = floatToHalf(data.w);
      const stored = dtype === "f16" ? halves : data.w;
      if (dtype === "f16") data.w = halfToFloat(halves);
      session.write(weight, stored.subarray(0, n + 3));
      session.write(weight, stored.subarray(n + 3), n + 3);
      for (const [to, from] of [
        [bias, data.b],
        [x, data.x],
        [dy, data.dy],
        [dx, data.dx],
      ] as const)
        session.write(to, from);
      session.run(["forward"], NO_VALUES);
      const f64 = (values: Float32Array) => Float64Array.from(values);
      const [w, out] = [f64(data.w), new Float64Array(m * n)];
      gemm({ out, a: f64(data.x), b: w, m, n, k, bias: f64(data.b), alpha: 0.5 });
      const back = gemm({ out: f64(data.dx), a: f64(data.dy), b: w, transB: true, m, n: k, k: n, beta: 2 });
      const tolerance = { atol: 5e-5, rtol: 1e-5 };
      assertAllClose("y", await session.read(y), out, tolerance);
      assertAllClose("dx", await session.read(dx), back, tolerance);
      assert.equal(await session.read(weight), data.w);
      assert.equal(await session.read(weight, n - 1, 2), data.w.slice(n - 1, n + 1));
      session.destroy();
    }
  });

for (const device of WASM)
  test(`exp on ${device} is good to 2^-23 over its whole range, seen through the gradient of cross-entropy`, async () => {
    const count = 1 << 16;
    const values = Float32Array.from({ length: count }, (_, i) => -87.3 + (175.3 * i) / count);
    const tensor = (name: string, cols: number) => new Tensor(name, [1, cols], "output");
    const [dlogits, logits, state] = [tensor("dlogits", count), tensor("logits", count), tensor("state", 4)];
    const targets = new Tensor("targets", [1], "output", "i32");
    const weights = new Tensor("weights", [1], "output");
    // A class far behind these: nothing is taken off.
    const rows = { targets, weights };
    const dispatches = [crossentropyBackward(dlogits, logits, state, rows, "sequences", 0)];
    const segments = [{ name: "forward" as const, clears: [], dispatches }];
    const session = await (await testDevice(device)).prepare({ segments, memory: planMemory(segments) });
    session.write(logits, values);
    session.write(state, Float32Array.from([0, 1, 0, 0]));
    session.write(targets, Int32Array.from([count]));
    session.write(weights, Float32Array.from([1]));
    session.run(["forward"], { ...NO_VALUES, sequences: 1, loss_scale: 1 });
    assertAllClose("exp", await session.read(dlogits), Float64Array.from(values, Math.exp), {
      atol: 0,
      rtol: 2 ** -23,
    });
    session.destroy();
  });

for (const mode of ["lora", "all"] as const)
  test(`mode ${mode}: the same bits after five steps on 1, 2 and 3 threads, and by messages to a worker`, async () => {
    const spec = smallSpec(mode);
    const learned: string[] = [];
    for (const open of [...[1, 2, 3].map((threads) => () => openWasm({ threads })), () => openInWorker()]) {
      const device = await open();
      const engine = await Engine.create(device, {
        spec,
        capacity: { tokens: 60, sequences: 5 },
        optimizer: OPTIMIZER,
      });
      fillRandom(engine, 3);
      for (let step = 0; step < 5; step++) engine.step([randomBatch(spec, [7, 1, 20, 13], step)], 1e-2);
      const tensors = await Promise.all(engine.trainableNames.map((name) => engine.readParameter(name)));
      learned.push(tensors.map(({ buffer }) => Buffer.from(buffer).toString("base64")).join(" "));
      engine.destroy();
      device.destroy();
    }
    assert.is(learned[1], learned[0], "2 threads");
    assert.is(learned[2], learned[0], "3 threads");
    assert.is(learned[3], learned[0], "a worker");
  });

test("without SharedArrayBuffer one thread computes, the caller's own, to the same bits", async () => {
  const shared = Object.getOwnPropertyDescriptor(globalThis, "SharedArrayBuffer")!;
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  const device = await openWasm({ threads: 4 }).finally(() => {
    Object.defineProperty(globalThis, "SharedArrayBuffer", shared);
  });
  assert.match(device.info.name, "1 thread");
  const spec = smallSpec("all");
  const logits: Float32Array[] = [];
  for (const one of [device, await testDevice("wasm relaxed 2 threads")]) {
    const engine = await Engine.create(one, { spec, capacity: { tokens: 30, sequences: 3 }, optimizer: null });
    fillRandom(engine, 2);
    engine.forward(randomBatch(spec, [4, 12], 2));
    logits.push(await engine.logits(2));
    engine.destroy();
  }
  assert.equal(logits[0], logits[1]);
  device.destroy();
});

test("a device in a worker reports the errors of any device", async () => {
  const device = await openInWorker({ relaxed: false });
  assert.match(device.info.name, "CPU, 1 thread, SIMD");
  const huge = [new Tensor("huge", [1 << 29], "output"), new Tensor("huge too", [1 << 29], "output")];
  const refused = (await rejection(device.prepare({ segments: [], memory: planMemory([], huge) }))) as DeviceError;
  const own = await testDevice("wasm 1 thread");
  const expected = (await rejection(own.prepare({ segments: [], memory: planMemory([], huge) }))) as DeviceError;
  assert.equal([refused.code, refused.message], ["out-of-memory", expected.message]);
  const x = new Tensor("x", [2], "output");
  const session = await device.prepare({ segments: [], memory: planMemory([], [x]) });
  await assertFails("wrong-shape", ["a write beyond x"], () => session.write(x, new Float32Array(3)));
  device.destroy();
});

test("a session's memory is not available to the next one until it is released", async () => {
  const device = await openWasm({ threads: 1 });
  const planTensors = (...sizes: number[]) => {
    const tensors = sizes.map((bytes, i) => new Tensor(`part ${i}`, [bytes / 4], "output"));
    return { segments: [], memory: planMemory([], tensors) };
  };
  const { availableMemory } = process;
  const MIB = 1 << 20;
  const refused = (...sizes: number[]) =>
    assertFails("out-of-memory", ["does not fit"], () => device.prepare(planTensors(...sizes)));
  try {
    process.availableMemory = () => 2 ** 33;
    const session = await device.prepare(planTensors(8 * MIB));
    await refused(2 ** 31, 2 ** 31 - 8 * MIB);
    process.availableMemory = () => MIB;
    await refused(8 * MIB);
    session.destroy();
    (await device.prepare(planTensors(8 * MIB))).destroy();
    await refused(10 * MIB);
  } finally {
    process.availableMemory = availableMemory;
    device.destroy();
  }
});

test("times are added up by kernel, in milliseconds", async () => {
  const device = await openWasm({ threads: 2 });
  const [a, b] = [new Tensor("a", [200, 200], "weight"), new Tensor("b", [200, 200], "weight")];
  const out = new Tensor("out", [200, 200], "output");
  const dispatches = [matmul({ out, a, b, m: 200, n: 200, k: 200 }), activationForward(out, b, 200, "gelu_new")];
  const segments = [{ name: "forward" as const, clears: [], dispatches }];
  const session = await device.prepare({ segments, memory: planMemory(segments) });
  const started = performance.now();
  const times = new Map<string, number>();
  await session.time!(times);
  session.run(["forward"], NO_VALUES);
  await session.flush();
  const once = new Map(times);
  session.run(["forward"], NO_VALUES);
  await session.flush();
  const kernels = dispatches.map(({ kernel }) => kernel.name);
  assert.equal([...times.keys()], kernels);
  for (const name of kernels) assert.ok(times.get(name)! > once.get(name)! && once.get(name)! > 0, name);
  const sum = [...times.values()].reduce((total, time) => total + time, 0);
  assert.ok(sum <= performance.now() - started, `${sum} ms`);
  device.destroy();
});

test("a thread that fails to start is reported", async () => {
  // It imports a function `x` of `env`, which nobody has.
  const parts = [
    [0, 97, 115, 109, 1, 0, 0, 0],
    [1, 4, 1, 96, 0, 0],
    [2, 9, 1, 3, 101, 110, 118, 1, 120, 0, 0],
  ];
  const module = new WebAssembly.Module(Uint8Array.from(parts.flat()));
  await assertFails("device-failed", ["a kernel failed"], () => new Workers(2).start(module, new LocalMemory().memory));
});

test("after a kernel fails, all pending and later calls of the pool are rejected", async () => {
  for (const open of [() => openWasm({ threads: 1 }), () => openWasm({ threads: 2 }), () => openInWorker()]) {
    const device = (await open()) as WasmBackend;
    const run = await failingRun(device);
    const calls = [run(), run(), run()].map(rejection);
    for (const error of await Promise.all(calls)) assert.is((error as DeviceError).code, "device-failed", `${error}`);
    await assertFails("device-failed", run);
    device.destroy();
  }
});

test("threads that are out of step are refused: none goes on with what another has not computed", async () => {
  const spec = smallSpec("lora");
  const batch = randomBatch(spec, [7, 1, 20, 13], 1);
  // An arrival, or a barrier, that was not.
  for (const word of [0, 1, 0, 1]) {
    const device = (await openWasm({ threads: 2 })) as WasmBackend;
    const engine = await Engine.create(device, { spec, capacity: { tokens: 60, sequences: 5 }, optimizer: null });
    fillRandom(engine, 3);
    await engine.result(engine.forward(batch));
    const words = new Int32Array((device.memory as LocalMemory).memory.buffer);
    Atomics.add(words, device.team.barrier / 4 + word, 1);
    await assertFails("device-failed", ["a kernel failed"], () => engine.result(engine.forward(batch)));
    device.destroy();
  }
});

/** A backend that spoils what one dispatch writes. */
function faulty(backend: Backend, number: number, findTensor: () => Tensor, value = 12345): Backend {
  const prepare = async (...args: Parameters<Backend["prepare"]>): Promise<Session> => {
    const session = await backend.prepare(...args);
    const run = (names: readonly SegmentName[], values: Parameters<Session["run"]>[1]) => {
      session.run(names, values);
      if ((names[0] as string) === `forward ${number}`) session.write(findTensor(), Float32Array.of(value));
    };
    const { write, flush, read, destroy } = session;
    const bind = { write, flush, read, destroy };
    return { ...Object.fromEntries(Object.entries(bind).map(([k, f]) => [k, f.bind(session)])), run } as Session;
  };
  return { info: backend.info, limits: backend.limits, prepare, destroy: () => backend.destroy() };
}

test("compare: no difference in a fixture, and the first dispatch that differs is reported", async () => {
  const reader = await openFile(packagePath("test/golden/06_cls_lora_all_t1_b1.safetensors"));
  const file = await SafetensorsFile.open(reader);
  const [one, two] = [await testDevice("wasm relaxed 2 threads"), await testDevice("wasm 2 threads")];
  let compared = 0;
  const count = (result: Compared) => {
    refuseWrong(result);
    compared++;
  };
  await runGolden(file, new CompareBackend(one, two, count));
  assert.ok(compared > 100, `${compared} results`);
  const spec = smallSpec("lora");
  const options = { spec, capacity: { tokens: 30, sequences: 3 }, optimizer: null };
  const { kernel, tensors } = Engine.plan(two, options).segments[0]!.dispatches[4]!;
  let written: Tensor | undefined;
  const bad = new CompareBackend(
    one,
    faulty(two, 4, () => written!),
  );
  const engine = await Engine.create(bad, options);
  written = engine.plan.segments[0]!.dispatches[4]!.tensors[0]!;
  fillRandom(engine, 1);
  const slot = engine.forward(randomBatch(spec, [5, 9], 1));
  const error = (await rejection(engine.result(slot))) as Error;
  assert.instance(error, DeviceError);
  assert.match(error.message, kernel.name);
  assert.match(error.message, `dispatch 4 (forward), out = ${tensors[0]!.name}`);
  assert.match(error.message, "12345");
  engine.destroy();
  await reader.close();
});

test("compare: waits for several results at once, and reports all of them in order", async () => {
  const [one, two] = [await testDevice("wasm 1 thread"), await testDevice("wasm 2 threads")];
  let [waiting, most] = [0, 0];
  const late: Backend = {
    ...{ info: two.info, limits: two.limits, destroy() {} },
    async prepare(...args) {
      const session = await two.prepare(...args);
      const read = session.read.bind(session);
      session.read = async (...args) => {
        most = Math.max(most, ++waiting);
        const values = await read(...args);
        // As a browser's answer, which comes after other events: after the requests that can be made before it.
        for (let i = 0; i < 1000 && most <= 10; i++) await nextTurn();
        waiting--;
        return values;
      };
      return session;
    },
  };
  const numbers: number[] = [];
  const both = new CompareBackend(one, late, ({ pipeline, where }) => {
    if (pipeline !== null) numbers.push(Number(/\d+/.exec(where)));
  });
  const spec = smallSpec("lora");
  const engine = await Engine.create(both, { spec, capacity: { tokens: 30, sequences: 3 }, optimizer: null });
  fillRandom(engine, 1);
  await engine.result(engine.forward(randomBatch(spec, [5, 9], 1)));
  assert.ok(most > 10, `${most} results were waited for at once`);
  assert.equal(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
  const [forward] = engine.plan.segments;
  assert.is(new Set(numbers).size, forward!.dispatches.length);
  engine.destroy();
});

test("compare: a session that one backend refuses is released on the other, after its work", async () => {
  const [one, two] = [await testDevice("wasm 1 thread"), await testDevice("wasm 2 threads")];
  let left = 0;
  const watched: Backend = {
    ...{ info: one.info, limits: one.limits, destroy() {} },
    async prepare(...args) {
      const session = await one.prepare(...args);
      left++;
      const destroy = session.destroy.bind(session);
      session.destroy = () => {
        left--;
        destroy();
      };
      return session;
    },
  };
  const program = { segments: [], memory: planMemory([], [new Tensor("x", [4], "output")]) };
  const refusing: Backend = { ...watched, prepare: () => Promise.reject(new DeviceError("out-of-memory", "no room")) };
  assert.match(((await rejection(new CompareBackend(watched, refusing).prepare(program))) as Error).message, "no room");
  assert.is(left, 0);
  const [x] = program.memory.bufferIndex.keys();
  const session = await new CompareBackend(watched, two).prepare(program);
  session.write(x!, Float32Array.of(1, 2, 3, 4));
  const flushed = session.flush();
  session.destroy();
  await flushed;
  assert.instance(await rejection(session.flush()), DeviceError);
  assert.is(left, 0);
});

test("compare: a difference in a row of small numbers is detected next to large ones", async () => {
  const tensor = (name: string) => new Tensor(name, [2, 8], "output");
  const [out, x] = [tensor("out"), tensor("x")];
  const segments = [{ name: "forward" as const, clears: [], dispatches: [activationForward(out, x, 2, "gelu_new")] }];
  const device = await testDevice("wasm 1 thread");
  for (const [value, isSeen] of [
    [10.05, true],
    [10.0005, false],
  ] as const) {
    const both = new CompareBackend(
      device,
      faulty(await testDevice("wasm 2 threads"), 0, () => out, value),
    );
    const session = await both.prepare({ segments, memory: planMemory(segments) });
    session.write(x, new Float32Array(16).fill(10, 0, 8).fill(1000, 8));
    session.run(["forward"], NO_VALUES);
    if (isSeen) assert.match(((await rejection(session.flush())) as Error).message, "element 0");
    else await session.flush();
    session.destroy();
  }
});
