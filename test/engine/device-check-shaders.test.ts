/** The check of a device runs every shader of what it is made for, with the same constants. */
import * as assert from "uvu/assert";
import type { Backend, Session } from "../../src/backend/backend.ts";
import { pipelineName } from "../../src/backend/webgpu-shaders.ts";
import { type LoraConfig, type ModelConfig, type Target, WEIGHT_DTYPES, type WeightDtype } from "../../src/config.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { type DatasetOptions, loadDataset } from "../../src/data/datasets.ts";
import { loadTexts, type TrainingData } from "../../src/data/texts.ts";
import { checkDevice } from "../../src/engine/device-check.ts";
import { listPipelines } from "../../src/engine/excerpt.ts";
import { Group } from "../../src/engine/group.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/language-model.ts";
import type { BaseModel } from "../../src/io/hf.ts";
import type { AdapterMeta } from "../../src/io/peft.ts";
import { GPT2_VOCABULARY } from "../../src/io/vocabulary.ts";
import { METHODS } from "../../src/methods/index.ts";
import { possibleModes } from "../../src/model/trainable.ts";
import { baseTensors, lmHeadTensors } from "../../src/names.ts";
import type { MemoryLimits } from "../../src/plan/memory.ts";
import type { Program } from "../../src/plan/plan.ts";
import { numel } from "../../src/tensor.ts";
import { ofMode, type TrainOptions } from "../../src/train/options.ts";
import { type PreparedRun, prepareRun } from "../../src/train/prepare.ts";
import { trainingWork } from "../../src/train/training-check.ts";
import { drawTensors, LM, modeMeta, testMeta } from "../helpers/adapters.ts";
import { graphicsCard } from "../helpers/graphics-card.ts";
import { test } from "../helpers/harness.ts";
import { LLAMA, RELATIVE } from "../helpers/models.ts";

const config = (size: Partial<ModelConfig>): ModelConfig => ({
  ...{ n_layer: 4, n_head: 4, n_embd: 128, vocab_size: 50257, n_positions: 256, layer_norm_epsilon: 1e-5 },
  ...size,
});
const SIZES = {
  micro: config({}),
  small: config({ n_layer: 12, n_head: 12, n_embd: 768 }),
  Llama: config({ ...LLAMA, n_head: 6, n_embd: 192, n_inner: 512 }),
  relative: config({ ...RELATIVE, n_head: 6, n_embd: 192, n_inner: 512 }),
};

/** Numbers of which no two in a row are equal. */
const NUMBERS = Float32Array.from({ length: 1 << 16 }, (_, i) => 0.1 * Math.sin(1.7 * i));

/** A base model that is made in a moment. */
function madeModel(config: ModelConfig): BaseModel {
  const shapes = new Map([...baseTensors(config), ...lmHeadTensors(config)].map(({ name, shape }) => [name, shape]));
  return {
    ...{ directory: "", config, vocabulary: GPT2_VOCABULARY, names: [...shapes.keys()] },
    shape: (name) => shapes.get(name)!,
    async read(name, start = 0, end) {
      const shape = shapes.get(name)!;
      const values = new Float32Array((((end ?? shape[0]!) - start) * numel(shape)) / shape[0]!);
      if (shape.length === 1 && name.endsWith(".weight")) return values.fill(1);
      for (let at = 0; at < values.length; at += NUMBERS.length)
        values.set(NUMBERS.subarray(0, values.length - at), at);
      return values;
    },
    close: async () => {},
  };
}

/**
 * A device that computes nothing and notes what it would. By default a binding is as small as WebGPU allows: it splits
 * the token table of GPT-2.
 */
class Noting implements Pick<Backend, "info" | "limits" | "prepare"> {
  readonly info = { kind: "webgpu", name: "a graphics card", software: false } as const;
  readonly limits: MemoryLimits;
  readonly ran = new Set<string>();

  constructor(maxBinding = 2 ** 27) {
    this.limits = { maxBinding, maxBuffer: 2 ** 28 };
  }

  async prepare({ segments }: Program): Promise<Session> {
    return {
      write() {},
      async flush() {},
      drop() {},
      destroy() {},
      read: async (tensor, _, count = tensor.size) => new Float32Array(count),
      run: (names) => {
        for (const { name, dispatches } of segments)
          if (names.includes(name)) for (const one of dispatches) this.ran.add(pipelineName(one));
      },
    };
  }
}

const rows = Array.from({ length: 200 }, (_, i) => `${i % 2 ? "ham" : "spam"},"${"word ".repeat(60)} ${i}",${i % 7}`);
const bytes = new TextEncoder().encode(`label,text,stars\n${rows.join("\n")}\n`);
const table = (options: DatasetOptions) =>
  loadDataset({ file: bytesReader("messages.csv", bytes) }, { maxLength: 64, textColumn: "text", ...options });
const DATA: Record<string, () => Promise<TrainingData>> = {
  messages: () => table({ labelColumn: "label" }),
  scores: () => table({ labelColumn: "stars", objective: "regression" }),
  texts() {
    const text = new TextEncoder().encode("The quick brown fox jumps over the lazy dog. ".repeat(4000));
    return loadTexts({ file: bytesReader("book.txt", text) }, { maxLength: 200 });
  },
};

/** Runs, each of one plan or of several that share one. */
const LORA: readonly Partial<TrainOptions>[][] = [
  [{ recompute: "on" }],
  [{ dora: true, dropout: 0.1 }],
  [{ layers: [1], targets: ["q", "proj"] }],
  [{ layers: [0, 2], rank: 64 }],
  [{}, {}, {}],
  [{ layers: [1] }, { layers: [1] }],
  [
    { layers: [0, 2], dtype: "q8" },
    { layers: [0, 2], dtype: "q8" },
  ],
  [{ targets: ["q"] }, { targets: ["fc"], rank: 3 }, { targets: ["o"], layers: [0] }],
];
const HEAD: Partial<TrainOptions>[][] = [[{ targets: ["proj", "head"], rank: 3 }], [{ targets: ["wte", "q"] }]];

function listRuns({ objective }: TrainingData, model: ModelConfig): Partial<TrainOptions>[][] {
  const modes = possibleModes(model).filter((mode) => !(objective === "lm" && METHODS[mode].classifiersOnly));
  const isSmall = model.n_embd < 200;
  const methods = modes.flatMap((mode) => {
    // A large model takes its time.
    const dtypes = isSmall && !METHODS[mode].freezesNothing ? WEIGHT_DTYPES : (["f32"] as const);
    return isSmall || mode === "lora" || mode === "all" ? dtypes.map((dtype) => [{ mode, dtype }]) : [];
  });
  return [
    ...methods,
    ...LORA.filter((runs) => isSmall || runs.every(({ dtype }) => !dtype)),
    ...(objective === "lm" ? [] : HEAD),
  ];
}

/** What a device answers that was asked all that a test wants to know. */
const ENOUGH = new Error("enough");

/** The CPU under the name of a graphics card, which notes what it runs in the check, and then what is prepared on it. */
async function noteInference(what: string, load: (device: Backend) => Promise<unknown>): Promise<void> {
  const card = await graphicsCard();
  const ran = new Set<string>();
  const programs: Program[] = [];
  const prepare = card.prepare.bind(card);
  card.prepare = async (program, ...rest) => {
    if (programs.push(program) > 1) throw ENOUGH;
    const session = await prepare(program, ...rest);
    const run = session.run.bind(session);
    session.run = (names, values) => {
      for (const { name, dispatches } of program.segments)
        if (names.includes(name)) for (const one of dispatches) ran.add(pipelineName(one));
      run(names, values);
    };
    return session;
  };
  assert.is(await load(card).catch((error) => error), ENOUGH, what);
  assert.is(programs.length, 2, what);
  const missing = listPipelines(programs).filter((one) => !ran.has(one));
  assert.equal(missing, [], what);
}

/** Methods with the sizes of small adapters, and LoRA in some blocks. */
function listMetas(model: ModelConfig, task: Partial<AdapterMeta>, dtype: WeightDtype): AdapterMeta[] {
  const modes = possibleModes(model).filter((mode) => {
    const { freezesNothing, classifiersOnly } = METHODS[mode];
    return !(freezesNothing && dtype !== "f32") && !(classifiersOnly && task === LM);
  });
  const targets: Target[] = ["q", "fc"];
  return modes.flatMap((mode) =>
    mode === "lora"
      ? [{ layers_to_transform: [0, 2] }, { use_dora: true as const }].map((lora: Partial<LoraConfig>) =>
          testMeta({ target_modules: targets, ...lora }, { model, ...task }),
        )
      : testMeta({}, { model, ...task, ...modeMeta(mode) }),
  );
}

/** All types of weights with one architecture, two with the other. */
const INFERRED = { micro: WEIGHT_DTYPES, Llama: ["f32", "q8"] } as const;
for (const [name, dtypes] of Object.entries(INFERRED) as [keyof typeof INFERRED, readonly WeightDtype[]][])
  for (const dtype of dtypes)
    for (const task of [{}, LM])
      test(`${task === LM ? "generation" : "classification"}: ${name}, ${dtype}`, async () => {
        for (const meta of listMetas(SIZES[name], task, dtype)) {
          const adapter = { meta, tensors: drawTensors(meta) };
          const model = madeModel(SIZES[name]);
          const { mode } = meta;
          await noteInference(JSON.stringify({ mode, dtype }), (device) =>
            task === LM
              ? LanguageModel.of(model, adapter, { device, dtype })
              : Classifier.of(adapter, model, device, dtype),
          );
        }
      });

for (const [name, size] of Object.entries(SIZES))
  for (const [what, load] of Object.entries(DATA).filter(([what]) => name === "micro" || what !== "scores"))
    test(`training: ${name}, ${what}`, async () => {
      const data = await load();
      const model = madeModel(size);
      for (const runs of listRuns(data, size)) {
        // A table in two pieces has two ends, and the check that of the last: in a plan of several it is the only one.
        const device = new Noting(runs.length > 1 ? 2 ** 28 : undefined) as Noting & Backend;
        // By default a small Llama has adapters in some blocks only.
        const prepared = runs.map((options) =>
          prepareRun({
            device,
            model,
            data,
            batchSize: 16,
            ...ofMode({ layers: null, ...options }, options.mode ?? "lora"),
          }),
        ) as [PreparedRun, ...PreparedRun[]];
        const work = await trainingWork({ model, device }, prepared);
        const { failure } = await checkDevice(device, device, work, { isTimed: false });
        if (failure) throw failure.error;
        const [{ plan, features, valueLoss }] = prepared;
        const part = features ? { part: "upper" as const } : {};
        const recompute = plan.recomputed > 0;
        const own = runs.length > 1 ? Group.plan(device, { members: prepared, valueLoss, recompute, ...part }) : plan;
        const all = listPipelines([own, ...(features ? [features.plan] : [])]);
        assert.equal(
          all.filter((one) => !device.ran.has(one)),
          [],
          JSON.stringify(runs),
        );
      }
    });
