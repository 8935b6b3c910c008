/** Plans with several members: each trains and computes as in a plan of its own, to the bit, whatever the others do. */

import * as assert from "uvu/assert";
import type { ModelConfig } from "../../src/config.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { Group } from "../../src/engine/group.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import { AdamW } from "../../src/model/adamw.ts";
import type { Batch, Capacity } from "../../src/model/batch.ts";
import { makeValueLoss } from "../../src/model/loss.ts";
import type { ModelSpec } from "../../src/model/trainable.ts";
import { siteName } from "../../src/names.ts";
import { Rng } from "../../src/rng.ts";
import type { WeightDtype } from "../../src/tensor.ts";
import { assertFails, assertSameBits } from "../helpers/border.ts";
import { testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { ADAMW, fillRandom, LLAMA, OPTIMIZER, RELATIVE, randomBatch, smallSpec } from "../helpers/models.ts";

const CAPACITY = { tokens: 48, sequences: 4 };
const STEPS = 3;

/** What a member trains, and with which batches. */
interface Job {
  spec: ModelSpec;
  lr: number;
  clip: number;
  /** Lengths of the sequences of every batch of a step. */
  lengths: readonly (readonly number[])[];
  seed: number;
  /** Whether the rows have weights. */
  weighted?: boolean;
  /** A parameter of which an element is not finite. */
  broken?: { name: string; value: number };
}

type Rest = Pick<EngineOptions, "part" | "recompute" | "maxBinding"> & { capacity?: Capacity };

interface Adapter extends Partial<LoraConfig> {
  lr_ratio?: number;
}

type SpecOptions = NonNullable<Parameters<typeof smallSpec>[1]>;

/** A member with other settings of LoRA than the others. */
function memberSpec({ lr_ratio, ...lora }: Adapter, options: SpecOptions = {}): ModelSpec {
  const spec = smallSpec("lora", options);
  return { ...spec, lora: { ...spec.lora!, ...lora }, ...(lr_ratio === undefined ? {} : { lr_ratio }) };
}

/** Different ranks, factors, targets, blocks, learning rates of B and clipping norms, rows and batches per step. */
const ADAPTERS: readonly (readonly [Adapter, Omit<Job, "spec">])[] = [
  [
    { r: 3, lora_alpha: 6 },
    { lr: 0.01, clip: 1, lengths: [[5, 1, 17]], seed: 1 },
  ],
  [
    { r: 5, lora_alpha: 2, target_modules: ["q", "v", "head"], layers_to_transform: [1], lr_ratio: 4 },
    { lr: 0.02, clip: 0, lengths: [[9], [3, 2, 8, 20]], seed: 2 },
  ],
  [
    { r: 1, lora_alpha: 3, scaling: "alpha", target_modules: ["o", "fc", "proj"] },
    { lr: 0.005, clip: 0.01, lengths: [[24, 24]], seed: 3, weighted: true },
  ],
  [
    { r: 36, lora_alpha: 8, scaling: "alpha/sqrt(r)", target_modules: ["k", "fc", "head"], layers_to_transform: [0] },
    { lr: 0.01, clip: 1, lengths: [[1]], seed: 4 },
  ],
];

const memberJobs = (options: SpecOptions = {}, change: (spec: ModelSpec) => ModelSpec = (spec) => spec): Job[] =>
  ADAPTERS.map(([lora, rest]) => ({ ...rest, spec: change(memberSpec(lora, options)) }));

/** Every parameter: the base model's are the same for all members, the others their own. */
function fill(engine: Engine, { seed, broken }: Job): void {
  fillRandom(engine, 7);
  const rng = new Rng(seed);
  for (const { name, shape, origin } of engine.plan.parameters.all.values()) {
    if (origin === "base") continue;
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => rng.normal() * 0.2);
    if (name === broken?.name) values[1] = broken.value;
    engine.writeParameter(name, values);
  }
}

function jobBatches({ spec, lengths, seed, weighted }: Job, step: number, part: Rest["part"]): Batch[] {
  return lengths.map((some, i) => {
    const at = 100 * seed + 10 * step + i;
    const rng = new Rng(at);
    const batch = randomBatch(spec, some, at);
    const features = Float32Array.from({ length: batch.ids.length * spec.config.n_embd }, () => rng.normal());
    const weights = Float32Array.from(batch.targets, () => 0.5 + rng.uniform());
    return { ...batch, ...(weighted ? { weights } : {}), ...(part === "upper" ? { features } : {}) };
  });
}

type Results = Map<string, Float32Array>;

/** Results, logits and, after the steps, parameters and moments. */
async function jobResults(engine: Engine, job: Job, rest: Rest): Promise<Results> {
  const results: Results = new Map();
  const keep = async (name: string, slot: number) => {
    const { loss, correct, norm, finite } = await engine.result(slot);
    results.set(name, Float32Array.of(loss, correct, norm, Number(finite)));
  };
  for (let step = 0; step < STEPS; step++) {
    const slots = engine.step(jobBatches(job, step, rest.part), job.lr);
    const last = slots.at(-1)!;
    for (const slot of slots) {
      const { loss, correct, norm, finite } = await engine.result(slot);
      // The norm is that of the step.
      results.set(`step ${step}, batch ${slots.indexOf(slot)}`, Float32Array.of(loss, correct));
      if (slot === last) results.set(`norm of step ${step}`, Float32Array.of(norm, Number(finite)));
    }
  }
  for (const [i, batch] of jobBatches(job, STEPS, rest.part).entries()) {
    const slot = engine.forward(batch);
    const rows = batch.targets.length;
    const [logits, losses] = await Promise.all([
      engine.plan.logits.length === 1 ? engine.logits(rows) : null,
      engine.losses(rows),
      keep(`evaluation ${i}`, slot),
    ]);
    if (logits) results.set(`logits ${i}`, logits);
    results.set(`losses ${i}`, Float32Array.from(losses));
  }
  for (const name of engine.plan.parameters.all.keys()) {
    const values = await engine.readParameter(name);
    results.set(name, values);
    if (!engine.parameter(name).grad) continue;
    const { m, v } = await engine.readMoments(name);
    results.set(`m ${name}`, m).set(`v ${name}`, v);
  }
  return results;
}

const jobOptimizer = ({ clip }: Job) => new AdamW({ ...ADAMW, clip });

async function alone(job: Job, rest: Rest): Promise<Results> {
  const optimizer = jobOptimizer(job);
  const engine = await Engine.create(await testDevice(), {
    capacity: CAPACITY,
    ...rest,
    spec: job.spec,
    optimizer,
    valueLoss: makeValueLoss(job.spec.task),
  });
  try {
    fill(engine, job);
    return await jobResults(engine, job, rest);
  } finally {
    engine.destroy();
  }
}

async function together(jobs: readonly Job[], rest: Rest): Promise<Results[]> {
  const { capacity = CAPACITY } = rest;
  const members = jobs.map((job) => ({
    spec: job.spec,
    capacity,
    optimizer: jobOptimizer(job),
  }));
  const { engines } = await Group.create(await testDevice(), {
    ...rest,
    members,
    valueLoss: makeValueLoss(jobs[0]!.spec.task),
  });
  engines.forEach((engine, i) => {
    fill(engine, jobs[i]!);
  });
  return Promise.all(
    engines.map(async (engine, i) => {
      try {
        return await jobResults(engine, jobs[i]!, rest);
      } finally {
        engine.destroy();
      }
    }),
  );
}

/** Results must have the bits of members alone, except these members', which must only stop as they do alone. */
async function compare(jobs: readonly Job[], rest: Rest = {}, diverging: readonly number[] = []): Promise<Results[]> {
  const all = await together(jobs, rest);
  for (const [i, job] of jobs.entries()) {
    const own = await alone(job, rest);
    assert.equal([...all[i]!.keys()], [...own.keys()]);
    for (const [name, values] of own) {
      const found = all[i]!.get(name)!;
      const where = `${name} of member ${i}`;
      if (diverging.includes(i)) assert.equal([...found].map(Number.isFinite), [...values].map(Number.isFinite), where);
      else assertSameBits(where, found, values);
    }
  }
  return all;
}

/** Every width is a multiple of 8: on the CPU all matrices lie in panels. */
const PANELS: Partial<ModelConfig> = { n_embd: 16, n_head: 4 };
/** Whole blocks of q8. */
const BLOCKS: Partial<ModelConfig> = { n_embd: 64, n_head: 4, n_inner: 96 };
const lm = { objective: "lm" } as const;
const inDtype = (dtype: WeightDtype) => (spec: ModelSpec) => ({ ...spec, dtype });
/** So few parameters that those of both fit into a binding, which the token table does not. */
const IN_PIECES = memberJobs({ ...lm, targets: ["q", "head"] })
  .slice(0, 2)
  .map((job, i): Job => ({ ...job, spec: memberSpec({ r: 1, lora_alpha: 2 + i }, { ...lm, targets: ["q", "head"] }) }));
const upper = (spec: ModelSpec): ModelSpec => ({ ...spec, lora: { ...spec.lora!, layers_to_transform: [1] } });
/** Each of q, k and v has a rank of its own. */
const apart = (spec: ModelSpec): ModelSpec => {
  const r = spec.lora!.r;
  const sites = (["q", "k", "v"] as const).map((target, i) => ({
    site: siteName({ target, block: 0 }),
    r: r + i,
    scale: 1,
  }));
  return { ...spec, lora: { ...spec.lora!, sites } };
};
const withBias = (spec: ModelSpec, head_bias: boolean): ModelSpec => ({ ...spec, task: { ...spec.task, head_bias } });
const headOnly = (spec: ModelSpec): ModelSpec => ({ ...spec, lora: { ...spec.lora!, target_modules: ["head"] } });

/** So many adapters that no table has all of their products. */
const MORE = Array.from({ length: 6 }, (_, i) => memberJobs().map((job) => ({ ...job, i })))
  .flat()
  .map(({ i, ...job }): Job => ({ ...job, seed: job.seed + 10 * i, spec: memberSpec({ r: 1 + (i % 3) }) }));

const CASES: readonly (readonly [string, Job[], Rest?])[] = [
  ["classifiers", memberJobs()],
  ["more adapters than a table holds", MORE],
  ["classifiers whose heads are frozen", memberJobs({ train_head: false, config: PANELS })],
  [
    "without adapters on the heads",
    memberJobs({}, (spec) => {
      const targets = spec.lora!.target_modules.filter((target) => target !== "head");
      return { ...spec, lora: { ...spec.lora!, target_modules: targets } };
    }),
  ],
  ["recomputation", memberJobs({ config: { n_layer: 3 } }), { recompute: true }],
  ["above features", memberJobs({}, upper), { part: "upper" }],
  ["regressions", memberJobs({ objective: "regression" })],
  ["classifiers by the mean", memberJobs({ pooling: "mean" })],
  ["several labels a message", memberJobs({ objective: "multi-label" })],
  ["language models", memberJobs(lm)],
  ["Llama-type classifiers", memberJobs({ config: LLAMA })],
  ["Llama-type language models in q8", memberJobs({ ...lm, config: { ...LLAMA, ...BLOCKS } }, inDtype("q8"))],
  ["language models with a head of their own", memberJobs({ ...lm, config: RELATIVE })],
  ["a token table in pieces", IN_PIECES, { maxBinding: 4096 }],
  ["a base model in f16", memberJobs({ config: PANELS }, inDtype("f16"))],
  ["a base model in q8", memberJobs({ config: { n_embd: 64, n_head: 4 } }, inDtype("q8"))],
  ["adapters on the heads alone", memberJobs({}, headOnly)],
  ["ranks of q, k and v that differ", memberJobs({}, apart)],
  ["heads with a bias and without", memberJobs().map((job, i) => ({ ...job, spec: withBias(job.spec, i % 2 === 0) }))],
];

for (const [name, jobs, rest] of CASES)
  testOnDevices(`${name}: members train as alone`, async () => {
    const results = await compare(jobs, rest);
    const losses = results.map((one) => one.get("evaluation 0")![0]!);
    assert.ok(
      losses.every((loss, i) => loss > 0 && losses.indexOf(loss) === i),
      `${losses}`,
    );
  });

testOnDevices("members that diverge, or begin with NaN, stop alone: the others keep their bits", async () => {
  const jobs = [...memberJobs(), ...memberJobs({}, upper)].map((job, i): Job => {
    if (i === 1) return { ...job, lr: 1e30 };
    if (i === 3) return { ...job, broken: { name: "lora.h.0.mlp.fc.A", value: Number.NaN } };
    if (i === 4) return { ...job, broken: { name: "lora.h.1.attn.k.B", value: Infinity } };
    if (i === 6) return { ...job, broken: { name: "head.weight", value: Number.NaN } };
    return job;
  });
  const diverging = [1, 3, 4, 6];
  const results = await compare(jobs, {}, diverging);
  results.forEach((one, i) => {
    assert.is(one.get(`norm of step ${STEPS - 1}`)![1], diverging.includes(i) ? 0 : 1, `member ${i}`);
  });
});

interface PlanRest {
  part?: "lower" | "upper";
  maxBinding?: number;
  capacity?: Capacity;
}

const planGroup = (
  specs: readonly ModelSpec[],
  { maxBinding = 2 ** 27, capacity = CAPACITY, ...rest }: PlanRest = {},
) =>
  Group.plan(
    { limits: { maxBinding, maxBuffer: 2 ** 30 } },
    { ...rest, members: specs.map((spec) => ({ spec, optimizer: OPTIMIZER, capacity })) },
  );

test("members that cannot share a plan are refused", async () => {
  const spec = smallSpec("lora");
  const lora = spec.lora!;
  const task = { ...spec.task, num_labels: 3 };
  const words = ["models that cannot share a plan", "LoRA of one model"];
  for (const [other, more, rest] of [
    [{ ...spec, task }, [...words, "mode lora, 3 classes, f32"]],
    [smallSpec("last_block"), [...words, "mode last_block"]],
    [smallSpec("lora", lm), words],
    [smallSpec("lora", { config: { n_layer: 3 } }), words],
    [smallSpec("lora", { train_head: false }), words],
    [smallSpec("lora", { pooling: "mean" }), [...words, "f32, mean"]],
    [{ ...spec, dtype: "f16" }, [...words, "f16"]],
    [
      { ...spec, lora: { ...lora, modulesToSave: ["ln_f.weight"] } },
      ["adapters and heads", "ln_f.weight of one model alone"],
    ],
    [smallSpec("lora", { dora: true }), ["plain LoRA", "DoRA"]],
    [smallSpec("lora", { targets: ["q", "wte"] }), ["plain LoRA", "wte"]],
    [upper(smallSpec("lora", { targets: ["q"] })), ["other blocks", "found:    0, 1"], { part: "upper" }],
  ] as [ModelSpec, string[], PlanRest?][]) {
    await assertFails("cannot-share-plan", more, () => planGroup([spec, other], rest));
  }
  for (const mode of ["all", "prompt"] as const)
    await assertFails("cannot-share-plan", [...words, `mode ${mode}`], () =>
      planGroup([smallSpec(mode), smallSpec(mode)]),
    );
});

test("more members than a plan can have, or than fit into one binding, are refused", async () => {
  const specs = Array.from({ length: 64 }, () => smallSpec("lora", { targets: ["q"] }));
  planGroup(specs.slice(1));
  await assertFails("cannot-share-plan", ["too many adapters for one plan", "at most 63", "64"], () =>
    planGroup(specs),
  );
  const words = ["do not fit into one binding", "4096 bytes", "63 adapters", "fewer adapters"];
  await assertFails("buffer-too-large", words, () => planGroup(specs.slice(1), { maxBinding: 4096 }));
  const capacity = { tokens: 1041, sequences: 4 };
  await assertFails("batch-too-large", ["65583"], () => planGroup(specs.slice(1), { capacity }));
});
