/** Dropout in a plan: masks that follow a sequence wherever it lies, and none where a batch has no draws. */
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { numel } from "../../src/core/tensor.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import type { Batch } from "../../src/model/batch.ts";
import { makeDropout } from "../../src/model/dropout.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { dropoutBackwardKernel, dropoutForwardKernel } from "../../src/ops/dropout.ts";
import { countFlops } from "../../src/plan/work.ts";
import { assertAllClose, relativeError } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, OPTIMIZER, randomBatch, SMALL, smallSpec } from "../helpers/models.ts";

const CAPACITY = { tokens: 40, sequences: 4 };
/** The same numbers summed in another order. */
const ROUNDING = 1e-5;

const WITH = smallSpec("lora", { dropout: 0.25 });
const LM = smallSpec("lora", { objective: "lm", dropout: 0.25 });

/** Runs `use` with an engine of random parameters. */
async function on<T>(
  device: Backend,
  spec: ModelSpec,
  use: (engine: Engine) => Promise<T>,
  more: Partial<EngineOptions> & { seed?: number } = {},
): Promise<T> {
  const { seed = 3, ...rest } = more;
  const options = { spec, capacity: CAPACITY, optimizer: OPTIMIZER, dropout: makeDropout(spec, seed), ...rest };
  const engine = await Engine.create(device, options);
  try {
    fillRandom(engine, 7);
    return await use(engine);
  } finally {
    engine.destroy();
  }
}

const LENGTHS = [5, 1, 17, 8];
const DRAWS = [4, 9, 2, 70000];

/** Some sequences of a batch, in this order, with their draws. */
function select({ ids, starts, targets }: Batch, isLm: boolean, order: readonly number[], draws = DRAWS): Batch {
  const part = <T extends Uint32Array | Int32Array>(all: T, b: number) => [...all.subarray(starts[b], starts[b + 1])];
  const ends = order.map((_, i) => order.slice(0, i + 1).reduce((sum, b) => sum + starts[b + 1]! - starts[b]!, 0));
  return {
    ids: Uint32Array.from(order.flatMap((b) => part(ids, b))),
    starts: Uint32Array.from([0, ...ends]),
    rows: Uint32Array.from(ends, (end) => end - 1),
    targets: Int32Array.from(isLm ? order.flatMap((b) => part(targets, b)) : order.map((b) => targets[b]!)),
    draws: Uint32Array.from(order, (b) => draws[b]!),
  };
}

const whole = (spec: ModelSpec) => randomBatch(spec, LENGTHS, 11);

/** The logits of each sequence of a batch. */
async function logits(engine: Engine, batch: Batch): Promise<Float32Array[]> {
  const isLm = engine.plan.spec.task.objective === "lm";
  engine.forward(batch);
  const all = await engine.logits(batch.targets.length);
  const width = all.length / batch.targets.length;
  const rows = (b: number) => (isLm ? [batch.starts[b]!, batch.starts[b + 1]!] : [b, b + 1]);
  return Array.from(batch.draws!, (_, b) => all.slice(rows(b)[0]! * width, rows(b)[1]! * width));
}

for (const [name, spec] of Object.entries({ classifier: WITH, "language model": LM })) {
  const isLm = name !== "classifier";

  testOnDevices(`${name}: a sequence's masks depend on its draw alone, and not on its batch,`, async () => {
    await on(await testDevice(), spec, async (engine) => {
      const batch = whole(spec);
      const all = await logits(engine, select(batch, isLm, [0, 1, 2, 3]));
      for (const order of [[3, 1, 0, 2], [2], [3, 0]])
        for (const [i, found] of (await logits(engine, select(batch, isLm, order))).entries())
          assertSameBits(`sequence ${order[i]} of ${order}`, found, all[order[i]!]!);
      const others = await logits(engine, select(batch, isLm, [0, 1, 2, 3], [5, 10, 3, 70001]));
      for (const [b, other] of others.entries()) assert.ok(relativeError(other, all[b]!) > 1e-3, `sequence ${b}`);
    });
  });

  testOnDevices(`${name}: without draws the bits are those of a plan without dropout,`, async () => {
    const { draws: _, ...batch } = select(whole(spec), isLm, [0, 1, 2, 3]);
    const evaluate = (engine: Engine) => {
      engine.forward(batch);
      return engine.logits(batch.targets.length);
    };
    const device = await testDevice();
    const plain = await on(device, spec, evaluate, { dropout: undefined });
    assertSameBits("logits", await on(device, spec, evaluate), plain);
  });
}

/** Loss and gradients of a batch. */
async function gradients(engine: Engine, batch: Batch): Promise<Map<string, Float32Array>> {
  const { loss, norm } = await engine.result(engine.gradients(batch));
  const found = new Map<string, Float32Array>([["loss", Float32Array.of(loss, norm)]]);
  for (const name of engine.trainableNames) found.set(name, await engine.readGradient(name));
  return found;
}

test("all rows have the same gradients where a classifier needs one of each sequence", async () => {
  const batch = select(whole(WITH), false, [0, 1, 2, 3]);
  const run = async (keepActivations: boolean) =>
    on(await testDevice(), WITH, (engine) => gradients(engine, batch), { keepActivations });
  const one = await run(false);
  for (const [name, values] of await run(true)) assert.ok(relativeError(values, one.get(name)!) < ROUNDING, name);
});

test("another seed, and another share, give other gradients", async () => {
  const device = await testDevice("wasm 1 thread");
  const batch = select(whole(WITH), false, [0, 1, 2, 3]);
  const run = (spec: ModelSpec, seed: number) => on(device, spec, (engine) => gradients(engine, batch), { seed });
  const one = await run(WITH, 3);
  for (const other of [await run(WITH, 4), await run(smallSpec("lora", { dropout: 0.5 }), 3)])
    for (const [name, values] of other) assert.ok(relativeError(values, one.get(name)!) > 1e-3, name);
});

testOnDevices("two batches of a step have the gradients of one", async () => {
  await on(await testDevice(), WITH, async (engine) => {
    const read = async () =>
      new Map(
        await Promise.all(engine.trainableNames.map(async (name) => [name, await engine.readGradient(name)] as const)),
      );
    const batch = whole(WITH);
    engine.step([select(batch, false, [0, 1, 2, 3])], 1e-9);
    const once = await read();
    engine.step([select(batch, false, [3, 1]), select(batch, false, [0, 2])], 1e-9);
    for (const [name, values] of await read()) assert.ok(relativeError(values, once.get(name)!) < 1e-4, name);
  });
});

const sines = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));

/** LoRA on q, v and proj of block 0: q of rank `r`, the others of rank 3. */
function sitesSpec(r: number): ModelSpec {
  const sites: LoraConfig["sites"] = [
    { site: "h.0.attn.q", r, scale: 2 },
    { site: "h.0.attn.v", r: 3, scale: 2 },
    { site: "h.0.mlp.proj", r: 3, scale: 0.5 },
  ];
  return { ...WITH, lora: { ...WITH.lora!, sites } };
}

testOnDevices(
  "adapters of one matrix in two groups have one mask: a rank that is filled up with zeros changes no gradient,",
  async () => {
    const { n_embd: C } = SMALL;
    const device = await testDevice();
    const batch = select(whole(WITH), false, [0, 1, 2, 3]);
    const [A, B] = ["lora.h.0.attn.q.A", "lora.h.0.attn.q.B"];
    // What is the same in both, by name: `fillRandom` draws the numbers in turn.
    const fill = (engine: Engine, own: Record<string, Float32Array<ArrayBuffer>>) => {
      for (const name of engine.trainableNames.filter((one) => one.startsWith("lora.")))
        engine.writeParameter(name, own[name] ?? sines(numel(engine.parameter(name).shape)));
      return gradients(engine, batch);
    };
    const two = await on(device, sitesSpec(2), (engine) => fill(engine, {}));
    const three = await on(device, sitesSpec(3), (engine) =>
      fill(engine, {
        [A]: sines(3 * C).fill(0, 2 * C),
        [B]: sines(3 * C).map((_, i) => (i % 3 < 2 ? sines(2 * C)[2 * Math.floor(i / 3) + (i % 3)]! : 0)),
      }),
    );
    three.set(A, three.get(A)!.slice(0, 2 * C));
    three.set(
      B,
      three.get(B)!.filter((_, i) => i % 3 < 2),
    );
    for (const [name, values] of two) assertAllClose(name, values, three.get(name)!, { atol: 1e-6, rtol: 1e-4 });
  },
);

/** The segments of the plan of a step. */
async function stepSegments(spec: ModelSpec) {
  const dropout = makeDropout(spec, 1);
  const options = { spec, capacity: CAPACITY, optimizer: OPTIMIZER, dropout };
  return Engine.plan(await testDevice("wasm 1 thread"), options).segments;
}

test("a plan with dropout multiplies as much as one without", async () => {
  for (const objective of ["classification", "lm"] as const) {
    const flops = async (dropout: number) =>
      countFlops(await stepSegments(smallSpec("lora", { objective, dropout })), CAPACITY);
    assert.is(await flops(0.25), await flops(0));
  }
});

test("a matrix without adapters takes no further dispatch, and one with adapters three", async () => {
  const count = async (spec: ModelSpec) => {
    const segments = await stepSegments(spec);
    const all = segments.flatMap(({ dispatches }) => dispatches.map(({ kernel }) => kernel));
    const kinds = [dropoutForwardKernel, dropoutBackwardKernel];
    return [...kinds.map((kind) => all.filter((kernel) => kernel === kind).length), all.length];
  };
  const only = (dropout: number) => count(smallSpec("lora", { targets: ["fc"], layers: [1], dropout }));
  const [, , plain] = await only(0);
  // Nothing is trained below the matrix, so that its input has no gradient.
  assert.equal(await only(0.1), [2, 0, plain! + 2]);
  // Four matrices in each of two blocks, and the head; the input of the first has no gradient.
  assert.equal((await count(WITH)).slice(0, 2), [18, 8]);
  assert.equal((await count(smallSpec("lora"))).slice(0, 2), [0, 0]);
});
