/** The model as a whole, through the engine: what must not make a difference, and what must never happen. */

import * as assert from "uvu/assert";
import { ShapeError } from "../../src/core/errors.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Mode } from "../../src/methods/index.ts";
import { AdamW } from "../../src/model/adamw.ts";
import { type Batch, promptLength } from "../../src/model/batch.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { IGNORE_INDEX } from "../../src/ops/crossentropy.ts";
import { assertAllClose, relativeError } from "../helpers/allclose.ts";
import { assertSameBits } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { ADAMW, fillRandom, IN_BLOCKS, LLAMA, OPTIMIZER, RELATIVE, randomBatch, smallSpec } from "../helpers/models.ts";

/** The same sums in another order: f32's rounding through two blocks, relative to the tensor's norm. */
const ROUNDING = 2e-6;
const LOSS = { atol: 1e-6, rtol: 1e-6 };

const CAPACITY = { tokens: 60, sequences: 6 };
const LENGTHS = [7, 1, 24, 12];
const LR = 0.01;
/** So small that the token table of 131 rows of 12 comes in three pieces, as do logits. */
const PIECES = { maxBinding: 4096 };
const lm = { objective: "lm" } as const;

/** An engine with random parameters, released after `body`. */
async function withEngine<T>(
  spec: ModelSpec,
  body: (engine: Engine) => Promise<T>,
  options: Partial<EngineOptions> = {},
): Promise<T> {
  const engine = await Engine.create(await testDevice(), {
    spec,
    capacity: CAPACITY,
    optimizer: OPTIMIZER,
    ...options,
  });
  try {
    fillRandom(engine, 11);
    return await body(engine);
  } finally {
    engine.destroy();
  }
}

type Values = Map<string, Float32Array>;

async function readAll(names: Iterable<string>, read: (name: string) => Promise<Float32Array>): Promise<Values> {
  const values: Values = new Map();
  for (const name of names) values.set(name, await read(name));
  return values;
}

const readParameters = (engine: Engine) =>
  readAll(engine.plan.parameters.all.keys(), (name) => engine.readParameter(name));
const readGradients = (engine: Engine) => readAll(engine.trainableNames, (name) => engine.readGradient(name));

function assertNear(what: string, actual: Values, expected: Values, tolerance: number): void {
  assert.equal([...actual.keys()], [...expected.keys()], what);
  for (const [name, values] of expected) {
    const error = relativeError(actual.get(name)!, values);
    if (!(error <= tolerance)) throw new Error(`${what}: ${name} is off by ${error}, more than ${tolerance}`);
  }
}

const sameBits = (a: Float32Array, b: Float32Array) =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

/** Names of the tensors whose bits differ. */
const changed = (before: Values, after: Values) =>
  [...before].filter(([name, values]) => !sameBits(values, after.get(name)!)).map(([name]) => name);

/** Loss and gradients of one batch. */
async function backward(engine: Engine, batch: Batch) {
  const { loss } = await engine.result(engine.gradients(batch));
  return { loss, gradients: await readGradients(engine) };
}

for (const [what, mode, r, config] of [
  ["lora, rank 1", "lora", 1],
  ["lora, rank 3", "lora", 3],
  ["all", "all", 3],
  ["all, with a head of its own", "all", 3, RELATIVE],
] as const)
  testOnDevices(`a language model in pieces is the same model: ${what}`, async () => {
    const spec = smallSpec(mode, { ...lm, r, config });
    const batch = randomBatch(spec, LENGTHS, 1);
    const whole = await withEngine(spec, (engine) => backward(engine, batch));
    assert.ok([...whole.gradients.values()].every((gradient) => gradient.some((g) => g !== 0)));
    for (const maxBinding of [4096, 131 * 12 * 4]) {
      const options = { maxBinding, capacity: { tokens: 200, sequences: 6 } };
      await withEngine(
        spec,
        async (engine) => {
          assert.is(engine.plan.logits.length, 3);
          for (const name of config ? ["wte.weight", "lm_head.weight"] : ["wte.weight"])
            assert.is(engine.parameter(name).pieces.length, maxBinding === 4096 ? 3 : 1);
          const { loss, gradients } = await backward(engine, batch);
          assertAllClose("loss", [loss], [whole.loss], LOSS);
          assertNear("gradients", gradients, whole.gradients, ROUNDING);
        },
        options,
      );
      // Without gradients the tensors lie in buffers of their own, the last piece at the very end of one.
      const loss = await withEngine(spec, async (engine) => (await engine.result(engine.forward(batch))).loss, {
        ...options,
        optimizer: null,
      });
      assertAllClose("loss without gradients", [loss], [whole.loss], LOSS);
    }
  });

for (const mode of ["lora", "all", "last_block", "last_layer"] as const)
  testOnDevices(`picking the classified rows early is picking them late: ${mode}`, async () => {
    const spec = smallSpec(mode);
    const batch = randomBatch(spec, LENGTHS, 2);
    // Not only last tokens: any row of a sequence may be the one.
    batch.rows[2]! -= 5;
    const run = (keepActivations: boolean) =>
      withEngine(
        spec,
        async (engine) => ({ ...(await backward(engine, batch)), logits: await engine.logits(LENGTHS.length) }),
        { keepActivations },
      );
    const [early, late] = [await run(false), await run(true)];
    assertAllClose("loss", [early.loss], [late.loss], LOSS);
    assert.ok(relativeError(early.logits, late.logits) <= ROUNDING);
    assertNear("gradients", early.gradients, late.gradients, ROUNDING);
  });

/** How far from the parameters, along the gradient, losses are measured. */
const STEP = 1e-2;

/** The mean of a packed text's rows in double precision, as the head makes logits of it. */
function logitsOfMean(rows: Float32Array, weight: Float32Array, bias: Float32Array): number[] {
  const C = weight.length / bias.length;
  const mean = Float64Array.from({ length: C }, (_, c) => {
    let sum = 0;
    for (let n = c; n < rows.length; n += C) sum += rows[n]!;
    return (sum * C) / rows.length;
  });
  return Array.from(bias, (value, label) => mean.reduce((sum, x, c) => sum + x * weight[label * C + c]!, value));
}

for (const [name, mode, config] of [
  ["GPT-2, lora", "lora", {}],
  ["GPT-2, prompt", "prompt", {}],
  ["GPT-2, prefix", "prefix", {}],
  ["Llama, lora", "lora", LLAMA],
  ["Llama, all", "all", LLAMA],
] as const)
  testOnDevices(
    `mean pooling: the head reads the mean of a text's rows, and gradients are right: ${name}`,
    async () => {
      const spec = smallSpec(mode, { config, pooling: "mean", targets: IN_BLOCKS });
      const C = spec.config.n_embd;
      // There is room for virtual tokens.
      const lengths = LENGTHS.map((length) => Math.min(length, 20));
      const batch = randomBatch(spec, lengths, 2);
      // Padding behind a text is no part of its mean.
      batch.rows[2]! -= 5;
      const virtual = promptLength(spec);
      const measure = (keepActivations: boolean) =>
        withEngine(
          spec,
          async (engine) => {
            const { loss, gradients } = await backward(engine, batch);
            const logits = await engine.logits(lengths.length);
            const { activations } = engine.plan;
            const norm = keepActivations ? await engine.session.read(activations.get("final_norm")!) : null;
            return { loss, gradients, logits, norm, weights: await readParameters(engine) };
          },
          { keepActivations },
        );
      const { norm, weights, logits, ...kept } = await measure(true);
      const expected = lengths.flatMap((_, b) => {
        const before = virtual * (b + 1);
        const rows = norm!.subarray((batch.starts[b]! + before) * C, (batch.rows[b]! + before + 1) * C);
        return logitsOfMean(rows, weights.get("head.weight")!, weights.get("head.bias")!);
      });
      assertAllClose("logits", logits, Float64Array.from(expected), { atol: 1e-5, rtol: 1e-5 });
      const plain = await measure(false);
      assertAllClose("loss", [plain.loss], [kept.loss], LOSS);
      assertNear("gradients", plain.gradients, kept.gradients, ROUNDING);
      const length = Math.hypot(...[...plain.gradients.values()].map((gradient) => Math.hypot(...gradient)));
      await withEngine(spec, async (engine) => {
        const lossAt = async (by: number) => {
          for (const [name, gradient] of plain.gradients)
            engine.writeParameter(
              name,
              weights.get(name)!.map((value, i) => value + (by * gradient[i]!) / length),
            );
          return (await engine.result(engine.forward(batch))).loss;
        };
        const slope = ((await lossAt(STEP)) - (await lossAt(-STEP))) / (2 * STEP);
        assertAllClose("slope along the gradient", [slope], [length], { atol: 1e-4, rtol: 1e-2 });
      });
    },
  );

testOnDevices("B of an adapter moves lr_ratio times as far as A in the first step, which is lr * sign", async () => {
  const spec = { ...smallSpec("lora"), lr_ratio: 16 };
  const batch = randomBatch(spec, LENGTHS, 4);
  const optimizer = new AdamW({ ...ADAMW, weight_decay: 0, clip: 0 });
  for (const options of [{ optimizer }, { optimizer, ...PIECES }])
    await withEngine(
      spec,
      async (engine) => {
        const before = await readParameters(engine);
        const { gradients } = await backward(engine, batch);
        engine.step([batch], LR);
        assert.is(engine.plan.parameters.pages.length > 1, "maxBinding" in options);
        for (const [name, gradient] of gradients) {
          const lr = /^lora\..*\.B$/.test(name) ? 16 * LR : LR;
          const moved = before.get(name)!.map((value, i) => {
            const g = gradient[i]!;
            return value - (lr * g) / (Math.abs(g) + ADAMW.eps);
          });
          assertAllClose(name, await engine.readParameter(name), Float64Array.from(moved), { atol: 1e-6, rtol: 0 });
        }
      },
      options,
    );
});

test("DoRA: after a batch that is refused, norms are computed as if there had been none", async () => {
  const spec = smallSpec("lora", { dora: true });
  const batch = randomBatch(spec, LENGTHS, 1);
  const { loss } = await withEngine(spec, (engine) => backward(engine, batch));
  await withEngine(spec, async (engine) => {
    const wrong = { ...batch, ids: batch.ids.map(() => 1000) };
    for (const run of [() => engine.forward(wrong), () => engine.step([wrong], LR)]) assert.throws(run);
    assert.is((await backward(engine, batch)).loss, loss);
  });
});

testOnDevices("DoRA where the adapters of q, k and v are in two buffers is the same", async () => {
  const spec = smallSpec("lora", { ...lm, dora: true });
  const batch = randomBatch(spec, LENGTHS, 1);
  const whole = await withEngine(spec, (engine) => backward(engine, batch));
  const split = await withEngine(
    spec,
    (engine) => {
      const roots = (["q", "k", "v"] as const).map(
        (word) => engine.parameter(`lora.h.1.attn.${word}.A`).pieces[0]!.tensor.root,
      );
      assert.is(new Set(roots).size, 2);
      return backward(engine, batch);
    },
    { maxBinding: 3072 },
  );
  assertAllClose("loss", [split.loss], [whole.loss], LOSS);
  assertNear("gradients", split.gradients, whole.gradients, ROUNDING);
});

testOnDevices("a packed batch gives the logits of its sequences one at a time, bit for bit", async () => {
  for (const spec of [
    smallSpec("lora"),
    smallSpec("lora", lm),
    smallSpec("lora", { ...lm, dora: true }),
    smallSpec("lora", { ...lm, config: LLAMA }),
    smallSpec("all", { pooling: "mean" }),
  ])
    await withEngine(spec, async (engine) => {
      const batch = randomBatch(spec, LENGTHS, 3);
      const isLanguageModel = spec.task.objective === "lm";
      engine.forward(batch);
      const packed = await engine.logits(batch.targets.length);
      const single: number[] = [];
      for (let b = 0; b < LENGTHS.length; b++) {
        const [start, end] = [batch.starts[b]!, batch.starts[b + 1]!];
        engine.forward({
          ids: batch.ids.slice(start, end),
          starts: Uint32Array.of(0, end - start),
          rows: Uint32Array.of(batch.rows[b]! - start),
          targets: isLanguageModel ? batch.targets.slice(start, end) : batch.targets.slice(b, b + 1),
        });
        single.push(...(await engine.logits(isLanguageModel ? end - start : 1)));
      }
      assertSameBits(`${spec.mode}, ${spec.task.objective}`, Float32Array.from(single), packed);
    });
});

/** The sequences of a batch from `from` to `to`. */
function part({ ids, starts, rows, targets }: Batch, from: number, to: number, isLanguageModel: boolean): Batch {
  const [start, end] = [starts[from]!, starts[to]!];
  return {
    ids: ids.slice(start, end),
    starts: starts.slice(from, to + 1).map((s) => s - start),
    rows: rows.slice(from, to).map((row) => row - start),
    targets: isLanguageModel ? targets.slice(start, end) : targets.slice(from, to),
  };
}

for (const spec of [
  smallSpec("lora"),
  smallSpec("all"),
  smallSpec("lora", lm),
  smallSpec("all", lm),
  smallSpec("lora", { ...lm, dora: true }),
])
  testOnDevices(
    `a step over two batches is the step over both at once: ${spec.task.objective}, ${spec.mode}`,
    async () => {
      const batch = randomBatch(spec, LENGTHS, 4);
      const isLanguageModel = spec.task.objective === "lm";
      // AdamW divides a gradient by its own size. That of the keys' bias is 0 but for rounding, which a tiny eps would
      // blow up.
      const optimizer = new AdamW({ ...ADAMW, eps: 1e-3 });
      // One sequence, then three: the mean is that over all rows, not a mean of means.
      const halves = [part(batch, 0, 1, isLanguageModel), part(batch, 1, 4, isLanguageModel)];
      const run = (batches: Batch[]) =>
        withEngine(
          spec,
          async (engine) => {
            const results = [];
            for (const slot of engine.step(batches, LR)) results.push(await engine.result(slot));
            return {
              loss: results.reduce((sum, { loss }) => sum + loss, 0),
              norm: results.at(-1)!.norm,
              correct: results.reduce((sum, { correct }) => sum + correct, 0),
              gradients: await readGradients(engine),
              parameters: await readParameters(engine),
            };
          },
          { optimizer },
        );
      const [one, two] = [await run([batch]), await run(halves)];
      assertAllClose("loss and norm", [two.loss, two.norm], [one.loss, one.norm], LOSS);
      assert.is(two.correct, one.correct);
      assertNear("gradients", two.gradients, one.gradients, ROUNDING);
      assertNear("parameters", two.parameters, one.parameters, ROUNDING);
    },
  );

testOnDevices("the last block of a language model has the gradients that it has where everything learns", async () => {
  const gradients = (mode: Mode) => {
    const spec = smallSpec(mode, lm);
    return withEngine(spec, (engine) => backward(engine, randomBatch(spec, LENGTHS, 4)));
  };
  const [some, all] = [await gradients("last_block"), await gradients("all")];
  assert.is(some.loss, all.loss);
  const last = new Map([...all.gradients].filter(([name]) => name.startsWith("h.1.")));
  assertNear("gradients", some.gradients, last, ROUNDING);
});

for (const [mode, steps] of [
  ["lora", 60],
  ["all", 40],
] as [Mode, number][])
  testOnDevices(`one batch overfits: ${mode}`, async () => {
    const spec = smallSpec(mode);
    const batch = randomBatch(spec, LENGTHS, 6);
    await withEngine(spec, async (engine) => {
      const first = await engine.result(engine.forward(batch));
      assert.ok(first.loss > 0.5, `already at ${first.loss}`);
      for (let step = 0; step < steps; step++) engine.step([batch], 0.03);
      const { loss, correct } = await engine.result(engine.forward(batch));
      assert.ok(loss < 0.01, `loss ${loss} after ${steps} steps`);
      assert.is(correct, LENGTHS.length);
    });
  });

testOnDevices("NaN in a parameter stops updates, until it is resumed", async () => {
  const spec = smallSpec("lora");
  const batch = randomBatch(spec, LENGTHS, 7);
  await withEngine(spec, async (engine) => {
    const good = await engine.readParameter("h.0.mlp.c_fc.weight");
    assert.is((await engine.result(engine.step([batch], LR)[0]!)).finite, true);
    const before = await readParameters(engine);
    engine.writeParameter("h.0.mlp.c_fc.weight", Float32Array.from(good).fill(Number.NaN, 5, 6));
    const { finite, loss } = await engine.result(engine.step([batch], LR)[0]!);
    assert.is(finite, false);
    assert.ok(Number.isNaN(loss));
    engine.writeParameter("h.0.mlp.c_fc.weight", good);
    assert.is((await engine.result(engine.step([batch], LR)[0]!)).finite, false, "a stop stays");
    assert.equal(changed(before, await readParameters(engine)), []);
    engine.resume();
    assert.is((await engine.result(engine.step([batch], LR)[0]!)).finite, true);
    assert.equal(changed(before, await readParameters(engine)), engine.trainableNames);
  });
});

testOnDevices("targets that do not count: no loss and no gradient, even where none counts", async () => {
  const spec = smallSpec("lora");
  const batch = randomBatch(spec, LENGTHS, 8);
  batch.targets.fill(IGNORE_INDEX);
  await withEngine(spec, async (engine) => {
    const { loss, gradients } = await backward(engine, batch);
    assert.is(loss, 0);
    for (const [name, gradient] of gradients)
      assert.ok(
        gradient.every((g) => g === 0),
        name,
      );
  });
});

testOnDevices("a small batch after a large one sees nothing of it", async () => {
  const spec = smallSpec("all");
  const [large, small] = [randomBatch(spec, [24, 24, 12], 9), randomBatch(spec, [5, 1], 10)];
  const fresh = await withEngine(spec, (engine) => backward(engine, small));
  const later = await withEngine(spec, async (engine) => {
    engine.gradients(large);
    return backward(engine, small);
  });
  assert.is(later.loss, fresh.loss);
  assert.equal(changed(fresh.gradients, later.gradients), []);
});

testOnDevices("parameters are written and read by rows, across the borders of pieces", async () => {
  const spec = smallSpec("all", lm);
  await withEngine(
    spec,
    async (engine) => {
      const table = await engine.readParameter("wte.weight");
      const rows = Float32Array.from({ length: 70 * 12 }, (_, i) => i);
      engine.writeParameter("wte.weight", rows, 60);
      table.set(rows, 60 * 12);
      assert.ok(sameBits(await engine.readParameter("wte.weight"), table));
      const refused = (error: unknown) => error instanceof ShapeError && error.message.includes("wte.weight");
      assert.throws(() => engine.writeParameter("wte.weight", rows, 62), refused);
      assert.throws(() => engine.writeParameter("wte.weight", rows.subarray(1)), refused);
      assert.throws(
        () => engine.parameter("wte.wight"),
        (error: unknown) => error instanceof ShapeError,
      );
    },
    PIECES,
  );
});

testOnDevices("batches that are invalid are refused, with what was found", async () => {
  const classifier = smallSpec("lora");
  const language = smallSpec("lora", lm);
  const wrong: [name: string, spec: ModelSpec, batch: (good: Batch) => Batch, found: string][] = [
    ["too many tokens", classifier, () => randomBatch(classifier, [24, 24, 13], 1), "61 tokens"],
    ["too many sequences", classifier, () => randomBatch(classifier, [1, 1, 1, 1, 1, 1, 1], 1), "7 sequences"],
    ["a long sequence", classifier, () => randomBatch(classifier, [3, 25], 1), "25"],
    ["an empty sequence", classifier, (good) => ({ ...good, starts: Uint32Array.of(0, 7, 7, 32, 44) }), "sequence 1"],
    ["no tokens", classifier, () => randomBatch(classifier, [], 1), "0 tokens"],
    ["an id", classifier, (good) => ({ ...good, ids: good.ids.fill(131, 4, 5) }), "token 4"],
    ["starts", classifier, (good) => ({ ...good, starts: good.starts.fill(1, 0, 1) }), "1 to 44"],
    ["an end", classifier, (good) => ({ ...good, starts: good.starts.fill(45, 4) }), "to 45"],
    ["another's row", classifier, (good) => ({ ...good, rows: good.rows.fill(6, 1, 2) }), "sequence 1"],
    ["a row", classifier, (good) => ({ ...good, rows: good.rows.fill(44, 3) }), "sequence 3"],
    ["a class", classifier, (good) => ({ ...good, targets: good.targets.fill(5, 2, 3) }), "target 2"],
    ["a negative class", classifier, (good) => ({ ...good, targets: good.targets.fill(-1, 2, 3) }), "-1"],
    ["few targets", classifier, (good) => ({ ...good, targets: good.targets.subarray(1) }), "3 targets"],
    ["targets", language, (good) => ({ ...good, targets: good.targets.subarray(1) }), "43 targets"],
    ["a target", language, (good) => ({ ...good, targets: good.targets.fill(131, 40) }), "target 40"],
  ];
  for (const spec of [classifier, language])
    await withEngine(spec, async (engine) => {
      for (const [name, of, change, found] of wrong) {
        if (of !== spec) continue;
        const batch = change(randomBatch(spec, LENGTHS, 1));
        assert.throws(
          () => engine.forward(batch),
          (error: unknown) => error instanceof ShapeError && error.message.includes(found),
          name,
        );
      }
    });
});

testOnDevices("a step that is refused for one of its batches counts for nothing", async () => {
  const spec = smallSpec("lora");
  const good = randomBatch(spec, LENGTHS, 1);
  const learned: Float32Array[][] = [];
  for (const isRefused of [false, true])
    await withEngine(spec, async (engine) => {
      engine.step([good], 0.01);
      if (isRefused) assert.throws(() => engine.step([good, randomBatch(spec, [], 1)], 0.01), /0 tokens/);
      engine.step([good], 0.01);
      assert.is(engine.steps, 2);
      learned.push(await Promise.all(engine.trainableNames.map((name) => engine.readParameter(name))));
    });
  learned[0]!.forEach((values, i) => {
    assert.ok(sameBits(values, learned[1]![i]!), String(i));
  });
});
