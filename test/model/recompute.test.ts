/** Activations recomputed in the backward pass: the same bits, less memory, and only where it helps. */
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { Engine } from "../../src/engine/engine.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { drawsFrom } from "../../src/model/batch.ts";
import { makeDropout } from "../../src/model/dropout.ts";
import { buildPlan, type PlanOptions } from "../../src/model/model.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { type Dispatch, NO_VALUES } from "../../src/ops/kernel.ts";
import { memoryTotals } from "../../src/plan/memory.ts";
import { dispatchWork } from "../../src/plan/work.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import type { TrainEvent } from "../../src/train/records.ts";
import type { Recompute } from "../../src/train/settings.ts";
import { planBlocks } from "../../src/views/plan.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { BOTH, CPU, testDevice, testOnDevices, within } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { fillRandom, LLAMA, OPTIMIZER, randomBatch, smallSpec } from "../helpers/models.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";
import { train } from "../helpers/train.ts";

const folder = temporaryFolder();
const CAPACITY = { tokens: 40, sequences: 4 };
/** Two blocks below the last one, whose activations are never recomputed. */
const config = { n_layer: 3 };
const llama = { ...LLAMA, ...config };
const lm = { objective: "lm", config } as const;

const SPECS: Record<string, ModelSpec> = {
  lora: smallSpec("lora", { config }),
  "lora, in some blocks": smallSpec("lora", { config, layers: [1], targets: ["o", "proj"] }),
  "lora with dropout": smallSpec("lora", { config, dropout: 0.25 }),
  "lora with DoRA": smallSpec("lora", { config, dora: true }),
  "lora with DoRA and dropout": smallSpec("lora", { config, dora: true, dropout: 0.25 }),
  all: smallSpec("all", { config }),
  bitfit: smallSpec("bitfit", { config }),
  adapter: smallSpec("adapter", { config }),
  prompt: smallSpec("prompt", { config }),
  prefix: smallSpec("prefix", { config }),
  "llama lora": smallSpec("lora", { config: llama }),
  "llama all": smallSpec("all", { config: llama }),
  "llama lora, mean": smallSpec("lora", { config: llama, pooling: "mean" }),
  "lm llama prefix": smallSpec("prefix", { ...lm, config: llama }),
  "lm lora": smallSpec("lora", lm),
  "lm all": smallSpec("all", lm),
  "lm adapter": smallSpec("adapter", lm),
  "lm prefix": smallSpec("prefix", lm),
};

/** Losses, gradients and, after two steps, trained tensors. */
async function trainTwoSteps(device: Backend, spec: ModelSpec, recompute: boolean): Promise<Map<string, Float32Array>> {
  const dropout = makeDropout(spec, 5);
  const engine = await Engine.create(device, { spec, capacity: CAPACITY, optimizer: OPTIMIZER, dropout, recompute });
  try {
    assert.is(engine.plan.recomputed > 0, recompute);
    fillRandom(engine, 7);
    const first = { ...randomBatch(spec, [5, 1, 17], 3), draws: drawsFrom(1, 3) };
    const second = { ...randomBatch(spec, [9, 2], 4), draws: drawsFrom(4, 2) };
    const results = new Map<string, Float32Array>();
    const keep = async (name: string, slot: number) => {
      const { loss, norm } = await engine.result(slot);
      results.set(name, Float32Array.of(loss, norm));
    };
    await keep("loss", engine.gradients(first));
    for (const name of engine.trainableNames) results.set(`d${name}`, await engine.readGradient(name));
    // Two batches a step: the second finds what the first left in the shared buffers.
    for (let step = 1; step <= 2; step++) await keep(`step ${step}`, engine.step([first, second], 0.01)[1]!);
    for (const name of engine.trainableNames) results.set(name, await engine.readParameter(name));
    return results;
  } finally {
    engine.destroy();
  }
}

/** Those that a GPU runs, too. */
const ON_GPU = ["lora", "lm prefix", "llama lora"];

for (const [name, spec] of Object.entries(SPECS))
  testOnDevices(
    `the same bits with recomputation: ${name}`,
    async () => {
      const device = await testDevice();
      const [off, on] = [await trainTwoSteps(device, spec, false), await trainTwoSteps(device, spec, true)];
      for (const [key, data] of off) assertSameBits(key, on.get(key)!, data);
      assert.ok(Math.abs(off.get("loss")![0]!) > 0);
    },
    ON_GPU.includes(name) ? BOTH : [CPU],
  );

const planWith = (spec: ModelSpec, rest: Partial<PlanOptions> = {}) =>
  buildPlan({ spec, capacity: CAPACITY, maxBinding: 2 ** 27, optimizer: OPTIMIZER, recompute: true, ...rest });

test("blocks without a backward pass, the last block and forward-only plans are as without it", () => {
  for (const [spec, rest, expected] of [
    [SPECS.lora!, {}, 2],
    [SPECS["lm all"]!, {}, 2],
    [SPECS["lora, in some blocks"]!, {}, 1],
    [SPECS["lora, in some blocks"]!, { part: "upper" }, 1],
    [smallSpec("last_block", { config }), {}, 0],
    [smallSpec("last_layer", { config }), { part: "upper" }, 0],
    [SPECS.lora!, { optimizer: null }, 0],
  ] as const) {
    const [on, off] = [planWith(spec, rest), planWith(spec, { ...rest, recompute: false })];
    assert.is(on.recomputed, expected);
    const names = (plan: typeof on, at: number) => plan.segments[at]!.dispatches.map(({ kernel }) => kernel.name);
    assert.equal(names(on, 0), names(off, 0));
    if (expected === 0)
      assert.equal(
        on.segments.map((_, i) => names(on, i)),
        off.segments.map((_, i) => names(off, i)),
      );
  }
});

test("what the backward pass does not read is not recomputed, and what is counts as work", () => {
  const products = (dispatches: readonly Dispatch[], name: RegExp) =>
    dispatches.filter(({ kernel, tensors }) => kernel.name === "linear" && name.test(tensors[3]!.name)).length;
  const backward = ({ segments }: ReturnType<typeof planWith>) =>
    segments.find(({ name }) => name === "backward")!.dispatches;
  for (const spec of [SPECS.lora!, SPECS.all!]) {
    const [on, off] = [planWith(spec), planWith(spec, { recompute: false })].map(backward) as [Dispatch[], Dispatch[]];
    const more = (name: RegExp) => products(on, name) - products(off, name);
    assert.equal([more(/c_attn/), more(/attn\.c_proj/), more(/c_fc/), more(/mlp\.c_proj/)], [2, 2, 2, 0]);
    const values = { ...NO_VALUES, tokens: 40, sequences: 4 };
    const flops = (list: readonly Dispatch[]) =>
      list.reduce((sum, one) => sum + (dispatchWork(one, values).flops ?? 0), 0);
    const C = spec.config.n_embd;
    assert.ok(flops(on) - flops(off) >= 2 * 2 * 40 * 8 * C * C, "c_attn, attn.c_proj and c_fc of two blocks");
  }
});

test("only the blocks' inputs are kept: a further block adds little", () => {
  const bytes = (n_layer: number, recompute: boolean) => {
    const { memory } = planWith(smallSpec("all", { config: { n_layer } }), { recompute });
    return memoryTotals(memory).byRole.get("activation")!;
  };
  const more = (recompute: boolean) => (bytes(8, recompute) - bytes(4, recompute)) / 4;
  const row = CAPACITY.tokens * 12 * 4;
  assert.is(more(true), row);
  assert.ok(more(false) > 9 * row);
});

test("auto recomputes only where memory is too small otherwise; and the run says so", async () => {
  const device = await testDevice("wasm 1 thread");
  const model = await openBaseModel(tinyModel(`${folder}/model`));
  const data = await tinyData(messages(24));
  const args = { model, data, rank: 2, epochs: 1, lr: 0.01 };
  const bytes = (recompute: Recompute, on = device) => {
    const { plan } = prepareRun({ ...args, device: on, recompute });
    return memoryTotals(plan.memory).total;
  };
  const [off, on] = [bytes("off"), bytes("on")];
  assert.ok(on < off);
  assert.equal(
    [bytes("auto"), bytes("auto", within(device, off)), bytes("auto", within(device, off - 1))],
    [off, off, on],
  );
  let said = "";
  const onEvent = (event: TrainEvent) => {
    if (event.type === "plan") said = renderBlocks(planBlocks(event));
  };
  await train({ ...args, device: within(device, off - 1), recompute: "auto", onEvent });
  assert.match(said, /^recompute: 1 of 2 blocks run again/m);
  await model.close();
});
