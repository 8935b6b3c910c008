/** An adapter has what it gave for fixed texts when it was saved: a fault in anything that computes it is found. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { readAsset } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadDataset } from "../../src/data/datasets.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import type { TrainingData } from "../../src/data/training-data.ts";
import {
  Classifier,
  type FineTuneArguments,
  fineTune,
  LanguageModel,
  study,
  type TrainedRun,
} from "../../src/index.ts";
import { type BaseModel, openBaseModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { type Adapter, readAdapter } from "../../src/io/peft/peft.ts";
import { GPT2_TABLES, GPT2_VOCABULARY } from "../../src/io/tokenizer/vocabulary.ts";
import { writeAdapter } from "../helpers/adapters.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { BOTH, CPU, testDevice, testOnDevices } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { messages, tinyData, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "model"));
const cpu = () => testDevice("wasm 1 thread");
const SETTINGS = { batchSize: 4, epochs: 1, lr: 1e-2 } as const;

const file = (content: string, name = "rows.csv") => bytesReader(name, new TextEncoder().encode(content));
const rows = (row: (i: number) => string) => Array.from({ length: 24 }, (_, i) => row(i)).join("\n");

const DATA = {
  classes: () => tinyData(messages(12)),
  "short rows": () => tinyData(`label,text\n${rows((i) => `${i % 2},it is ${i}`)}\n`),
  padded: () => tinyData(messages(12), { padding: "longest" }),
  pairs: () =>
    loadDataset(
      { file: file(`question,answer,label\n${rows((i) => `is it ${i},yes ${i % 3},${i % 2}`)}\n`) },
      { textColumn: "question,answer", maxLength: 24 },
    ),
  scores: () =>
    loadDataset(
      { file: file(`score,text\n${rows((i) => `${(i % 7) / 2},it is ${i % 7}`)}\n`) },
      { objective: "regression", maxLength: 24 },
    ),
  labels: () =>
    loadDataset(
      { file: file(`label,text\n${rows((i) => `${["a", "b", "a|b"][i % 3]},it is ${i}`)}\n`) },
      { objective: "multi-label", maxLength: 24 },
    ),
  texts: async () => {
    await using model = await openBaseModel(base);
    return loadTexts(
      {
        file: file(
          rows((i) => `see you at lunch ${i}, please`),
          "rows.txt",
        ),
      },
      { model, maxLength: 16 },
    );
  },
} satisfies Record<string, () => Promise<TrainingData>>;

const saved = new Map<string, Promise<string>>();

/** The directory of a short run. */
function trained(data: keyof typeof DATA, more: Partial<FineTuneArguments> = {}): Promise<string> {
  const name = [data, ...Object.values(more)].join(" ");
  const run = saved.get(name) ?? train(join(folder, name), data, more);
  saved.set(name, run);
  return run;
}

async function train(save: string, data: keyof typeof DATA, more: Partial<FineTuneArguments>): Promise<string> {
  await using model = await openBaseModel(base);
  const settings = {
    ...SETTINGS,
    ...(more.mode === undefined ? { rank: 2 } : {}),
    ...(data === "texts" ? {} : ({ headInit: "uniform" } as const)),
  };
  await fineTune({ device: await cpu(), model, data: await DATA[data](), ...settings, ...more, save });
  return save;
}

type Run = [data: keyof typeof DATA, more?: Partial<FineTuneArguments>];
const RUNS = (Object.keys(DATA) as (keyof typeof DATA)[]).map((data): Run => [data]);
const OTHERS: Run[] = [
  ["short rows", { batchSize: 1 }],
  ["classes", { mode: "last_block" }],
  ["classes", { mode: "last_layer" }],
  ["texts", { mode: "last_block" }],
  ["classes", { mode: "prefix" }],
  ["texts", { mode: "prompt" }],
  ["classes", { mode: "all" }],
  ["classes", { dtype: "f16" }],
];

for (const [quick, runs] of [
  [[CPU], RUNS],
  [[], OTHERS],
] as const)
  for (const [data, more = {}] of runs)
    testOnDevices(
      `what was trained on one device is as it was saved on another: ${[data, ...Object.values(more)].join(", ")}`,
      async () => {
        const directory = await trained(data, more);
        const { reference, meta } = await readAdapter(join(directory, "adapter"));
        const count = { texts: reference?.outputs.length, scores: 3, pairs: 4 }[data as string] ?? 6;
        assert.is(reference?.outputs.length, count);
        assert.ok(reference!.outputs.some((value) => Math.abs(value) > 1e-4));
        const model = meta.task.objective === "lm" ? LanguageModel : Classifier;
        (await model.load(directory, { device: await testDevice() })).destroy();
      },
      BOTH,
      quick,
    );

testOnDevices(
  "runs that are trained together have it, too, also over features and with batches of other sizes",
  async () => {
    await using model = await openBaseModel(base);
    const device = await testDevice();
    const data = await DATA["short rows"]();
    for (const layers of [null, [1]]) {
      const runs = [4, 1].map(
        (batchSize) => ({ ...SETTINGS, rank: 2, layers, batchSize, headInit: "uniform" }) as const,
      );
      const save = join(folder, `together ${layers}`);
      for (const run of (await study({ device, model, data, runs, save })).runs) {
        assert.is(run.status, "fulfilled", String((run as PromiseRejectedResult).reason));
        const { record } = (run as PromiseFulfilledResult<TrainedRun>).value;
        const directory = join(save, "trials", record.trial!.name);
        assert.ok((await readAdapter(join(directory, "adapter"))).reference);
        (await Classifier.load(directory, { device: await cpu() })).destroy();
      }
    }
  },
);

test("the same seed gives the same", async () => {
  const read = (directory: string) => readFileSync(join(directory, "adapter", "lowrank.json"), "utf8");
  assert.is(read(await train(join(folder, "again"), "classes", {})), read(await trained("classes")));
});

/** Refused on the CPU, in memory. */
const refused = async (adapter: Adapter, model: BaseModel) =>
  assertFails("outputs-differ", ["other results than when", "for a fixed text", base], async () =>
    adapter.meta.task.objective === "lm"
      ? LanguageModel.of(model, adapter, { device: await cpu() })
      : Classifier.of(adapter, model, await cpu()),
  );

for (const data of ["classes", "texts"] as const)
  test(`planted faults are found: ${data}`, async () => {
    await using model = await openBaseModel(base);
    const adapter = await loadAdapter(await trained(data), model);
    for (const [name, { shape, data: values }] of adapter.tensors) {
      if (!/^lora\..*B$|^head\.weight$/.test(name)) continue;
      // What is added is not the same everywhere: a norm would remove that.
      const changed = { shape, data: values.map((value, i) => value + Math.sin(i)) };
      await refused({ ...adapter, tensors: new Map([...adapter.tensors, [name, changed]]) }, model);
    }
    // The ids of "e" and "o", in the table of bytes behind the header.
    const tables = await readAsset(GPT2_TABLES);
    [tables[8 + 68], tables[8 + 78]] = [tables[8 + 78]!, tables[8 + 68]!];
    await refused(adapter, { ...model, vocabulary: { ...GPT2_VOCABULARY, tables } });
    // Rows of a matrix in another order, as of a wrong layout.
    const read: BaseModel["read"] = async (name, ...some) => {
      const values = await model.read(name, ...some);
      return name === "h.1.mlp.c_fc.weight" ? values.reverse() : values;
    };
    await refused(adapter, { ...model, read });
    for (const reference of [
      { maxLength: 16, outputs: ["1"] },
      { maxLength: 16, outputs: 5 },
      { maxLength: 0, outputs: [1] },
    ])
      await assertFails("invalid-field", ["lowrank.json"], async () => {
        const damaged = { ...adapter, reference } as unknown as Adapter;
        await (data === "texts"
          ? LanguageModel.of(model, damaged, { device: await cpu() })
          : Classifier.of(damaged, model, await cpu()));
      });
  });

test("bytes in the middle of the base model's file are its identity", async () => {
  const copy = tinyModel(join(folder, "copy"));
  const directory = await trained("classes");
  const device = await cpu();
  (await Classifier.load(directory, { device, model: copy })).destroy();
  const path = join(copy, "model.safetensors");
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
  await assertFails("wrong-base-model", [copy], () => Classifier.load(directory, { device, model: copy }));
});

test("an adapter that is loaded later is compared when it is loaded; the model goes on with the one before", async () => {
  const directory = await trained("classes");
  const { tensors, ...adapter } = await readAdapter(join(directory, "adapter"));
  const changed = new Map(tensors);
  const { shape, data } = tensors.get("head.weight")!;
  changed.set("head.weight", { shape, data: data.map((value) => -value) });
  const bad = join(folder, "bad");
  await writeAdapter(bad, { ...adapter, tensors: changed });
  const classifier = await Classifier.load(directory, { device: await cpu() });
  const before = await classifier.logits("see you");
  await assertFails("outputs-differ", [], () => classifier.loadAdapter(bad, "bad"));
  await classifier.loadAdapter(directory, "good");
  await classifier.setAdapter("good");
  assertSameBits("logits", await classifier.logits("see you"), before);
  assert.equal(classifier.adapters, ["default", "good"]);
  // Tensors of another step give other results, and are not compared with those that were saved.
  classifier.update(changed);
  assertSameBits(
    "negated",
    await classifier.logits("see you"),
    await logitsOf({ meta: adapter.meta, tensors: changed }),
  );
  await classifier.setAdapter("default");
  await classifier.setAdapter("good");
  classifier.destroy();
});

async function logitsOf(adapter: Adapter): Promise<Float32Array> {
  await using model = await openBaseModel(base);
  const classifier = await Classifier.of(adapter, model, await cpu());
  const logits = await classifier.logits("see you");
  classifier.destroy();
  return logits;
}

test("weights of another type than in training are not compared", async () => {
  await using model = await openBaseModel(base);
  const adapter = await loadAdapter(await trained("classes"), model);
  const other = { ...adapter, reference: { maxLength: 16, outputs: [1, 2, 3, 4, 5, 6] } };
  await refused(other, model);
  (await Classifier.of(other, model, await cpu(), "f16")).destroy();
});
