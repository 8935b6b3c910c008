/** The CPU in parts that work at the same time: bits, memory, faults; and runs that are trained on them. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { openWasm, type WasmBackend } from "../../src/backend/wasm.ts";
import { Engine } from "../../src/engine/engine.ts";
import { loadModel } from "../../src/io/hf.ts";
import type { Start } from "../../src/train/job.ts";
import type { Checkpoint, TrainResult } from "../../src/train/records.ts";
import { trainJobs } from "../../src/train/scheduler.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { failingRun } from "../helpers/device.ts";
import { graphicsCard } from "../helpers/graphics-card.ts";
import { test } from "../helpers/harness.ts";
import { setEnvironment } from "../helpers/http.ts";
import { fillRandom, OPTIMIZER, randomBatch, smallSpec } from "../helpers/models.ts";
import { type Own, trainAll } from "../helpers/short-run.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

// Where devices are kept that were found right: here none is at the start.
setEnvironment({ LOWRANK_CACHE: temporaryFolder() });

const SPEC = smallSpec("lora");
const CAPACITY = { tokens: 40, sequences: 4 };

/** What three steps leave, for each seed. */
async function stepsOn(engine: Engine, seed: number): Promise<Float32Array[]> {
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) {
    const batch = randomBatch(SPEC, [3 + seed, 9, 5], 10 * seed + i);
    losses.push((await engine.result(engine.step([batch], 1e-2)[0]!)).loss);
  }
  const parameters = await Promise.all(engine.trainableNames.map((name) => engine.readParameter(name)));
  return [Float32Array.from(losses), ...parameters];
}

async function make(device: Backend, seed: number, shared?: Engine): Promise<Engine> {
  const engine = await Engine.create(device, { spec: SPEC, capacity: CAPACITY, optimizer: OPTIMIZER }, shared);
  if (!shared) fillRandom(engine, 1);
  for (const name of engine.trainableNames) {
    const { shape } = engine.parameter(name);
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    engine.writeParameter(
      name,
      values.map((_, i) => Math.sin(seed + i) / 5),
    );
  }
  return engine;
}

test("parts of the CPU work at the same time, share weights, and have the bits of the whole", async () => {
  const whole = await openWasm({ threads: 3 });
  const used = () => (whole as WasmBackend).heap.usedBytes;
  const first = await make(whole, 0);
  const expected: Float32Array[][] = [];
  for (const seed of [1, 2]) {
    const alone = await make(whole, seed, first);
    expected.push(await stepsOn(alone, seed));
    alone.destroy();
  }
  await first.session.flush();
  const before = used();
  // Two threads and one.
  const parts = whole.divide!(2);
  assert.is(parts.length, 2);
  assert.equal(
    parts.map(({ info }) => info.name),
    [whole.info.name, whole.info.name],
  );
  const engines = await Promise.all(parts.map((part, i) => make(part, i + 1, first)));
  const found = await Promise.all(engines.map((engine, i) => stepsOn(engine, i + 1)));
  for (const [i, some] of found.entries())
    for (const [j, values] of some.entries()) assertSameBits(`run ${i}, ${j}`, values, expected[i]![j]!);
  for (const engine of engines) {
    engine.destroy();
    await engine.session.flush().catch(() => {});
  }
  for (const part of parts) part.destroy();
  await first.session.flush();
  assert.is(used(), before);
  // The whole goes on.
  const again = await make(whole, 1, first);
  assertSameBits("again", (await stepsOn(again, 1))[0]!, expected[0]![0]!);
  whole.destroy();
});

test("there are at most as many parts as threads", async () => {
  const device = await openWasm({ threads: 2 });
  assert.is(device.divide!(5).length, 2);
  assert.is(device.divide!(1).length, 1);
  device.destroy();
});

test("a kernel that fails in one part ends the whole, and nothing waits for ever", async () => {
  const device = (await openWasm({ threads: 2 })) as WasmBackend;
  const run = await failingRun(device);
  const [a, b] = device.divide!(2);
  await assertFails("device-failed", ["a kernel failed"], () => run(a!.team));
  await assertFails("device-failed", ["a kernel failed"], () => run(b!.team));
  device.destroy();
});

const directory = tinyModel(join(temporaryFolder(), "model"));
const BASE: Own = { epochs: 2, batchSize: 8, lr: 1e-2, evalEvery: 2 };

async function world(threads = 2) {
  const model = await loadModel(directory);
  return { device: await openWasm({ threads }), model, data: await tinyData(messages(24)) };
}

test("runs of any mode are trained at the same time, with the bits of each alone; one that fails leaves the others", async () => {
  const common = await world();
  const order: number[] = [];
  const settings: Own[] = [
    { ...BASE, rank: 2 },
    { ...BASE, rank: 3 },
    { ...BASE, rank: 4, lr: 1e20 },
    { ...BASE, rank: 0 },
    { ...BASE, mode: "all" },
    { ...BASE, mode: "last_layer" },
  ];
  // The first waits for a step of the second: it would wait for ever if that began behind its end.
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const runs = settings.map((run, i): { settings: Own; start: Start } => ({
    settings: run,
    start: {
      ...(i === 0 ? { pause: () => begun } : {}),
      onEvent: (event) => {
        if (event.type === "step") order.push(i);
        if (event.type === "step" && i === 1) begin();
      },
    },
  }));
  const settled = await trainAll(common, runs);
  assert.equal(
    settled.map(({ status }) => status),
    ["fulfilled", "fulfilled", "rejected", "rejected", "fulfilled", "fulfilled"],
  );
  const [, , diverged, invalid] = settled as PromiseRejectedResult[];
  assert.equal([diverged!.reason.code, invalid!.reason.code], ["not-finite", "invalid-value"]);
  assert.ok(order.indexOf(1) < order.lastIndexOf(0));
  for (const [i, one] of settled.entries()) {
    if (one.status === "rejected") continue;
    const alone = await train({ ...common, ...settings[i]! });
    assert.equal(one.value.steps, alone.steps, `steps of run ${i}`);
    assert.equal(one.value.results!.after, alone.results!.after);
    assert.equal(one.value.device, alone.device);
    for (const [name, { data }] of alone.tensors) assertSameBits(name, one.value.tensors.get(name)!.data, data);
  }
  await common.model.close();
  common.device.destroy();
});

test("a run waits while the memory that it needs is another's", async () => {
  const common = await world();
  const settings: Own = { ...BASE, epochs: 1, mode: "all" };
  const alone = await train({ ...common, ...settings });
  const device = common.device as WasmBackend;
  const { total } = device.limits;
  const { plan } = alone;
  const bytes = plan.memory.buffers.reduce((sum, buffer) => sum + buffer.bytes, 0);
  // Room for the base model and one and a half runs.
  const start = device.heap.usedBytes;
  Object.defineProperty(Object.getPrototypeOf(device), "limits", {
    configurable: true,
    get(this: WasmBackend) {
      return { maxBinding: 2 ** 31, maxBuffer: 2 ** 31, total: start + 1.9 * bytes - this.heap.usedBytes };
    },
  });
  assert.ok(total! > 2 * bytes);
  let [active, most] = [0, 0];
  const runs = [1, 2, 3].map((seed): { settings: Own; start: Start } => ({
    settings: { ...settings, seed },
    start: {
      onEvent: (event) => {
        if (event.type === "start") most = Math.max(most, ++active);
        if (event.type === "end") active--;
      },
    },
  }));
  const settled = await trainAll(common, runs);
  assert.equal(
    settled.map(({ status }) => status),
    ["fulfilled", "fulfilled", "fulfilled"],
  );
  assert.is(most, 1);
  await common.model.close();
  common.device.destroy();
});

test("aborted, runs that have stepped end with what they have learned, and those that wait do not begin", async () => {
  const common = await world();
  const abort = new AbortController();
  let steps = 0;
  const runs = [2, 3, 4].map((rank): { settings: Own; start: Start } => ({
    settings: { ...BASE, rank },
    start: {
      onEvent: (event) => {
        if (event.type === "step" && ++steps === 3) abort.abort();
      },
    },
  }));
  const settled = await trainAll({ ...common, signal: abort.signal }, runs);
  const ended = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value.aborted] : []));
  assert.ok(ended.length >= 1 && ended.every((aborted) => aborted));
  assert.is(settled.length, 2);
  await common.model.close();
  common.device.destroy();
});

test("on a GPU jobs are trained one after the other; one that does not begin is left out, a resumed one has the same bits", async () => {
  const common = { ...(await world()), device: await graphicsCard() };
  const settings = [2, 3, 4].map((rank): Own => ({ ...BASE, epochs: 1, rank }));
  let kept: Checkpoint | undefined;
  const onCheckpoint = async (checkpoint: Checkpoint) => {
    kept ??= checkpoint;
  };
  const alone = await train({ ...common, ...settings[2]!, checkpointEvery: 2, onCheckpoint });
  const seen: string[] = [];
  const results: TrainResult[] = [];
  const jobs = settings.map((settings, i) => ({
    job: { ...common, ...settings },
    async begin() {
      seen.push(`begin ${i}`);
      return i === 1 ? null : i === 2 ? { resume: kept! } : {};
    },
    async end(trained: Promise<TrainResult>) {
      results[i] = await trained;
      seen.push(`end ${i}`);
    },
  }));
  await trainJobs(jobs, { onBegin: (atOnce) => seen.push(`${atOnce}`) });
  assert.equal(seen, ["1", "begin 0", "end 0", "1", "begin 1", "1", "begin 2", "end 2"]);
  assert.equal(results[2]!.steps, alone.steps);
  for (const [name, { data }] of alone.tensors) assertSameBits(name, results[2]!.tensors.get(name)!.data, data);
  await common.model.close();
});

test("what a job throws itself stops the others, and is thrown when they have ended", async () => {
  const common = await world();
  const ended: string[] = [];
  let stepped = () => {};
  const afterStep = new Promise<void>((resolve) => {
    stepped = resolve;
  });
  const job = (name: string, begin: () => Promise<Start>) => ({
    job: { ...common, ...BASE, epochs: 50 },
    begin,
    end: async (trained: Promise<TrainResult>) => {
      ended.push(`${name} ${(await trained).aborted}`);
    },
  });
  const jobs = [
    job("first", async () => ({ onEvent: ({ type }) => type === "step" && stepped() })),
    job("second", async () => {
      await afterStep;
      throw new RangeError("a bug");
    }),
    job("third", async () => ({})),
  ];
  const thrown = await trainJobs(jobs).catch((error) => error);
  assert.is(thrown.message, "a bug");
  assert.equal(ended, ["first true"]);
  await common.model.close();
  common.device.destroy();
});
