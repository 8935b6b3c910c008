/** What a run takes in memory: the choice of `auto`, the advice if a run does not fit, the table of `train --plan`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { COMMON_DTYPES } from "../../src/core/tensor.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { expandArms } from "../../src/study/grid.ts";
import { estimateTrial } from "../../src/train/estimate.ts";
import type { Preparable } from "../../src/train/job.ts";
import { resolveOptions } from "../../src/train/options.ts";
import { peakMemory } from "../../src/train/plan-event.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { checkFits, nearestChange, planFitting, planRun, type Size } from "../../src/train/sizes.ts";
import { measureMemory, memoryBlocks } from "../../src/views/plan.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { reportOfRun } from "../../src/web/worker/errors.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { counting } from "../helpers/counting.ts";
import { testDevice, within } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";
import { messages, TINY, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

const folder = temporaryFolder();
/** A model without weights: its rows are whole blocks in every type. */
const CONFIG = { ...TINY, vocab_size: 50257, n_embd: 128 };
mkdirSync(join(folder, "described"));
writeFileSync(join(folder, "described", "config.json"), JSON.stringify({ model_type: "gpt2", ...CONFIG }));
writeFileSync(join(folder, "messages.csv"), messages(40));
const rows = tinyData(messages(40));
const ROOM = { maxBinding: 2 ** 31, maxBuffer: 2 ** 31 };

/** Runs on a device with so many bytes, and the bytes of a run in a size. */
async function runs() {
  const data = await rows;
  const argsWithin = (total: number): Preparable => ({
    device: { limits: { ...ROOM, total } },
    model: { config: CONFIG } as BaseModel,
    data,
  });
  const plannedBytes = (options: TrainOptions, { batchSize = options.batchSize, ...size }: Partial<Size> = {}) =>
    peakMemory(planRun(argsWithin(0), options, { dtype: "f32", recompute: false, batchSize, ...size }));
  return { argsWithin, plannedBytes };
}
const SIZES = COMMON_DTYPES.flatMap((dtype) => [false, true].map((recompute) => ({ dtype, recompute })));

test("auto takes the first size that fits: the widest type, and recomputation before a narrower one", async () => {
  const { argsWithin, plannedBytes } = await runs();
  const auto = resolveOptions({ dtype: "auto", batchSize: 32 });
  const bytes = SIZES.map((size) => plannedBytes(auto, size));
  for (const total of [...bytes, Math.min(...bytes) - 1]) {
    const expected = SIZES[bytes.findIndex((some) => some <= total)] ?? SIZES.at(-1)!;
    const { size, options, spec } = planFitting(argsWithin(total), auto);
    assert.equal(size, { ...expected, batchSize: 32 });
    assert.equal([options.dtype, spec.dtype], [expected.dtype, expected.dtype]);
  }
  // One of both given: only the other is open.
  assert.equal(planFitting(argsWithin(0), resolveOptions({ dtype: "q8" })).size, {
    dtype: "q8",
    recompute: true,
    batchSize: 8,
  });
  const exact = planFitting(argsWithin(0), resolveOptions({ dtype: "auto", recompute: "off" })).size;
  assert.equal(exact, { dtype: "q4", recompute: false, batchSize: 8 });
  assert.is(planFitting(argsWithin(0), resolveOptions({ mode: "all", dtype: "auto" })).size.dtype, "f32");
});

test("a run that does not fit is told the nearest change with which it does, and with it it does", async () => {
  const { argsWithin, plannedBytes } = await runs();
  const options = resolveOptions({ recompute: "off", batchSize: 32 });
  const narrower = (size: Partial<Size>) => plannedBytes(options, size);
  for (const [total, set, flags] of [
    [narrower({ recompute: true }), { recompute: "on" }, 'use recompute "on", which takes'],
    [
      narrower({ dtype: "f16", recompute: true }),
      { dtype: "f16", recompute: "on" },
      'use dtype "f16" and recompute "on"',
    ],
    [narrower({ dtype: "q4", recompute: true }), { dtype: "q4", recompute: "on" }, 'use dtype "q4" and recompute "on"'],
    [
      narrower({ dtype: "q4", recompute: true, batchSize: 16 }),
      { dtype: "q4", recompute: "on", batchSize: 16 },
      "batchSize 16",
    ],
  ] as const) {
    const args = argsWithin(total);
    assert.equal(nearestChange(args, options), { set, bytes: total });
    const refuse = (some: TrainOptions) => checkFits(args, planFitting(args, some), some);
    await assertFails("out-of-memory", [flags], () => refuse(options));
    refuse({ ...options, ...set });
  }
  // What is left open needs no flag.
  const open = resolveOptions({ batchSize: 32 });
  const args = argsWithin(narrower({ dtype: "f16", recompute: true }));
  assert.equal(nearestChange(args, open)?.set, { dtype: "f16" });
  // A graphics card does not tell its memory: what fits is not known, and nothing is left open.
  for (const some of [options, open, resolveOptions({ dtype: "auto" })])
    assert.equal(nearestChange(argsWithin(Infinity), some)?.set, { recompute: "on" });
});

test("where nothing fits, the refusal says so", async () => {
  const { argsWithin } = await runs();
  for (const [given, words] of [
    [{}, ["nothing fits: use a smaller maxLength or a smaller model"]],
    [{ mode: "all", batchSize: 4 }, ["nothing fits", 'mode "lora"']],
  ] as const) {
    const options = resolveOptions(given);
    const args = argsWithin(1000);
    assert.equal(nearestChange(args, options), null);
    const refuse = () => checkFits(args, planFitting(args, options), options);
    await assertFails("out-of-memory", words, refuse);
  }
});

test("a run chooses before it starts, and keeps what it chose; a sweep cannot leave it open", async () => {
  const device = await testDevice("wasm 1 thread");
  const model = await openBaseModel(tinyModel(join(folder, "model")));
  const few = await tinyData(messages(12));
  const args = { model, data: few, rank: 2, epochs: 1, lr: 0.01, batchSize: 4 };
  const f16 = { dtype: "f16", recompute: false, batchSize: 4 } as const;
  const bytes = peakMemory(planRun({ ...args, device }, resolveOptions({ rank: 2 }), f16));
  const tight = within(device, bytes);
  const [auto, given] = [
    await train({ ...args, device: tight, dtype: "auto" }),
    await train({ ...args, device, dtype: "f16" }),
  ];
  assert.equal([auto.options.dtype, auto.spec.dtype], ["f16", "f16"]);
  for (const [name, tensor] of given.tensors) assertSameBits(name, auto.tensors.get(name)!.data, tensor.data);
  // Its rows are no whole number of blocks: f16 is the narrowest.
  await assertFails("out-of-memory", ['use dtype "f16", which takes'], () => train({ ...args, device: tight }));
  const sweep = { base: {}, arms: [{ dtype: ["f16", "auto"] }] };
  await assertFails("invalid-value", ["dtype auto is invalid in a study", "f32, f16"], () => [...expandArms(sweep)]);
  const report = await train({ ...args, device: tight }).catch((error) =>
    reportOfRun(error, { ...args, device: tight }),
  );
  assert.equal((report as ReturnType<typeof reportOfRun>).remedy, { set: { dtype: "f16" }, bytes });
  await model.close();
});

test("the table has every size, marks what does not fit and what the settings give", async () => {
  const { argsWithin, plannedBytes } = await runs();
  const options = resolveOptions({ dtype: "q8", recompute: "off" });
  const total = plannedBytes(options, { dtype: "f16" });
  const args = {
    ...argsWithin(total),
    device: { info: { kind: "wasm", name: "CPU", software: true } as const, ...argsWithin(total).device },
  };
  const table = measureMemory(args, options);
  assert.equal(table.batchSizes, [1, 4, 8, 16, 32]);
  assert.equal(
    table.rows.map((row) => row[2] && [row[2].dtype, row[2].recompute]),
    SIZES.map(Object.values),
  );
  for (const one of table.rows.flat()) assert.is(one!.fits, one!.bytes <= total);
  const present = table.rows.flat().filter((one) => one!.isPresent);
  assert.equal(
    present.map((one) => one!.bytes),
    [plannedBytes(options, { dtype: "q8" })],
  );
  const text = renderBlocks(memoryBlocks(table, args, options));
  assert.match(text, /│ f32 +│ off .* x +│/);
  assert.match(text, /│ q8 +│ off .* \* +│/);
  assert.not.match(text, /do not fit/);
  const whole = resolveOptions({ dtype: "int16" });
  const device = { ...args.device, info: { kind: "wasm", name: "CPU", software: true } } as const;
  assert.match(
    renderBlocks(memoryBlocks(measureMemory(argsWithin(2 ** 31), whole), { ...args, device }, whole)),
    /│ int16 +│ off .* \* +│/,
  );
  const wide = resolveOptions({});
  assert.match(
    renderBlocks(memoryBlocks(measureMemory(args, wide), args, wide)),
    /these settings do not fit: use --dtype f16/,
  );
});

test("train --plan needs no weights, prints the table and leaves nothing", async () => {
  const args = ["--plan", "--model", "described", "--data", "messages.csv", "--device", "wasm", "--mode", "bitfit"];
  const result = await runCommand("train", args, { cwd: folder });
  assertCode(result, 0);
  assert.match(result.stdout, /BitFit/);
  assert.match(result.stdout, /│ f32 +│ off +│.* \* +│/);
  assert.match(result.stdout, /│ q4 +│ on +│/);
});

test("an estimate takes as long for many rows as for few, and has the memory of the whole run", async () => {
  const model = await openBaseModel(tinyModel(join(folder, "model")));
  for (const mode of ["last_layer", "lora", "probe"] as const) {
    const steps = mode === "probe" ? {} : { batchSize: 4 };
    const bytesWritten = [24, 192].map(async (count) => {
      const { backend, written } = await counting();
      const args = { device: backend, model, data: await tinyData(messages(count)), mode, ...steps };
      const { bytes, trainable, seconds } = await estimateTrial(args);
      const whole = prepareRun(args);
      assert.equal([bytes, trainable, seconds > 0], [peakMemory(whole), whole.trainable, true]);
      return written.get("batch")!;
    });
    const [few, many] = (await Promise.all(bytesWritten)) as [number, number];
    assert.ok(many < 1.25 * few, `${mode}: ${many} bytes for eight times the rows of ${few}`);
  }
  await model.close();
});
