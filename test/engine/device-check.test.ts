/** A device is compared with the CPU once before it is trusted: right ones pass; one that lies in any way is left. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { openWasm } from "../../src/backend/wasm.ts";
import { listPipelines } from "../../src/backend/webgpu-shaders.ts";
import { COMMON_DTYPES } from "../../src/core/tensor.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadTexts } from "../../src/data/text/texts.ts";
import { excerptOf, variantsOf, type Work } from "../../src/engine/check-work.ts";
import { Decoder } from "../../src/engine/decoder.ts";
import { chooseDevice } from "../../src/engine/device-check.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { generationWork } from "../../src/infer/text/generation-check.ts";
import { METHODS } from "../../src/methods/index.ts";
import type { LoraConfig } from "../../src/methods/lora.ts";
import { possibleModes } from "../../src/model/trainable.ts";
import { ACTIVATION } from "../../src/ops/activation.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { dispatchesOf, type Segment } from "../../src/plan/plan.ts";
import { keepCheckpoint, lastCheckpoint } from "../../src/run/checkpoint.ts";
import type { Classification } from "../../src/tasks/predictions.ts";
import { trainingOf } from "../../src/train/device.ts";
import { ofMode } from "../../src/train/options.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import type { TrainOptions } from "../../src/train/settings.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { type Card, changing, graphicsCard, losing, preferCard } from "../helpers/graphics-card.ts";
import { inParts, TESTS, test, testAll, testInParts } from "../helpers/harness.ts";
import { setEnvironment } from "../helpers/http.ts";
import { LLAMA, RELATIVE } from "../helpers/models.ts";
import { stopAfter } from "../helpers/runs.ts";
import { chosen, directory, inferring, listTensors, trainAll, trained, withModel } from "../helpers/short-run.ts";
import { messages, TINY, tinyData } from "../helpers/tiny.ts";

/** The user's cache directory. */
const cache = temporaryFolder();
setEnvironment({ LOWRANK_CACHE: cache });
const KEPT = join(cache, "devices.json");
/** Why a device was chosen that the CPU can replace. */
const AUTO = "a hardware GPU";

type Entry = [key: string, kept: Record<string, unknown>];
const readKept = () => JSON.parse(readFileSync(KEPT, "utf8")) as Entry[];
const writeKept = (entries: Entry[]) => writeFileSync(KEPT, JSON.stringify(entries));
const forget = () => rmSync(KEPT, { recursive: true, force: true });

const texts = () => {
  const text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
  return loadTexts({ file: bytesReader("book.txt", new TextEncoder().encode(text)) }, { maxLength: 32 });
};

test("a right device passes on WebGPU, and its adapter is named with the version of WebGPU", async () => {
  forget();
  const device = await testDevice("webgpu");
  const { version } = JSON.parse(readFileSync("node_modules/webgpu/package.json", "utf8"));
  assert.ok(device.info.adapter!.endsWith(` ${version}`), device.info.adapter);
  assert.is((await chosen(device, { rank: 4 })).device, device);
});

testAll("a right device passes: other methods, together, a language model, classification, generation", async () => {
  const device = await testDevice("webgpu");
  for (const more of [{ mode: "all" } as const, { data: await texts() }, { dropout: 0.1, dora: true }])
    assert.is((await chosen(device, more)).device, device);
  const { classifier, lm } = await inferring(device);
  assert.equal([classifier.device.kind, lm.device.kind], ["webgpu", "webgpu"]);
  const runs = [{ rank: 2 }, { rank: 3 }].map((settings) => ({ settings: { ...settings, epochs: 1 }, start: {} }));
  const settled = await withModel(async (model) =>
    trainAll({ device, model, data: await tinyData(messages(20)) }, runs),
  );
  for (const one of settled) assert.is(one.status === "fulfilled" && one.value.device.kind, "webgpu");
});

test("a named GPU is refused int16 by name before it is checked; the CPU takes what was to choose one", async () => {
  const named = await graphicsCard();
  const refused = ["a GPU does not multiply in int16", "the device wasm"];
  await assertFails("unsupported-dtype", refused, async () => chosen(named, { dtype: "int16" }));
  const automatic = await graphicsCard(AUTO);
  const { device, info } = await chosen(automatic, { dtype: "int16" });
  assert.equal([device.info.kind, info.why], ["wasm", "for int16"]);
  assert.equal([named.prepared, automatic.prepared], [0, 0]);
});

/** How many programs the check of some work prepares on a card. */
async function count(card: Card, work: (card: Card) => Promise<unknown>): Promise<number> {
  const before = card.prepared;
  await work(card);
  return card.prepared - before;
}

test("a device is asked once for a set of shaders, also in another process", async () => {
  forget();
  const card = await graphicsCard();
  const asked = await count(card, chosen);
  assert.ok(asked > 0);
  assert.equal([await count(card, chosen), await count(card, (card) => chosen(card, { rank: 3, alpha: 7 }))], [0, 0]);
  // In another process: what is kept.
  assert.is(await count(await graphicsCard(), chosen), 0);
});

testAll(
  "a device is asked again with another driver, adapter, version or set, or if what was kept is damaged",
  async () => {
    forget();
    const card = await graphicsCard();
    const asked = await count(card, chosen);
    assert.is(await count(card, (card) => chosen(card, { mode: "all" })), asked);
    const other = await graphicsCard();
    other.info.adapter = "a graphics card, driver 2";
    assert.is(await count(other, chosen), asked);
    const entries = readKept();
    const [version] = JSON.parse(entries[0]![0]) as [string];
    writeKept(entries.map(([key, kept]) => [key.replace(version, `${version}.1`), kept]));
    assert.is(await count(await graphicsCard(), chosen), asked);
    // What is damaged, or cannot be kept, is done again.
    writeFileSync(KEPT, "[[");
    assert.is(await count(await graphicsCard(), chosen), asked);
    forget();
    mkdirSync(KEPT);
    for (let i = 0; i < 2; i++) assert.is(await count(await graphicsCard(), chosen), asked);
    forget();
  },
);

/** Lies: how a card changes the list of a segment, or what it gives. */
const LIES: Record<string, [lie: (card: Card) => Backend, words: RegExp]> = {
  "a wrong tile in one dispatch": [
    (card) =>
      changing(card, (list) =>
        list.map((one) => {
          if (one.tensors[0]!.name !== "dh.0.mlp.c_fc.input") return one;
          return withScalar(one, "n", (n) => n - 4);
        }),
      ),
    /dh\.0\.mlp\.c_fc\.input .* by (matmul|linear)\S* differs from the CPU's by \d/,
  ],
  "another constant": [
    (card) => changing(card, (list) => list.map((one) => withScalar(one, "activation", () => ACTIVATION.relu))),
    / by \S+ differs from the CPU's by \d/,
  ],
  "a hazard: in one submission a dispatch begins before the one that it waits for": [
    (card) => changing(card, (list) => [...list.slice(0, 3), ...list.slice(3).reverse()]),
    / in a whole submission differs from the CPU's by \d/,
  ],
  "right once, wrong after": [wrongLater, / differs from the CPU's by \d/],
};

/** A dispatch with another number in the place of a scalar, if it has that. */
function withScalar(one: Dispatch, dim: string, change: (value: number) => number): Dispatch {
  const at = Object.keys(one.kernel.dims).indexOf(dim);
  return {
    ...one,
    scalars: one.scalars.map((value, i) => (i === at && typeof value === "number" ? change(value) : value)),
  };
}

/** A card on which every list runs rightly once. */
function wrongLater(card: Card): Backend {
  return {
    ...card,
    async prepare(program, ...rest) {
      const session = await card.prepare(program, ...rest);
      const run = session.run.bind(session);
      const ran = new Set<string>();
      session.run = (names, values) => {
        run(names, values);
        for (const { name, dispatches } of program.segments) {
          if (!names.includes(name) || dispatches.length !== 1) continue;
          if (ran.has(name)) session.write(dispatches[0]!.tensors[0]!, Float32Array.of(12345));
          ran.add(name);
        }
      };
      return session;
    },
  };
}

for (const [what, [lie, words]] of Object.entries(LIES))
  test(`a device that lies is replaced: ${what}`, async () => {
    forget();
    const card = await graphicsCard(AUTO);
    const { device, info } = await chosen(lie(card));
    assert.is(device.info.kind, "wasm");
    assert.match(info.why!, /^a graphics card computes wrongly: /);
    assert.match(info.why!, words);
  });

test("a device that lies is refused where it was named, and not kept as right", async () => {
  forget();
  const named = wrongLater(await graphicsCard());
  await assertFails("device-failed", ["computes wrongly", 'device "wasm"'], () => chosen(named));
  assert.ok((await count(await graphicsCard(), chosen)) > 0);
});

testInParts(
  "a device that fails in the check, or hangs, which counts as lost, is replaced, one that was named refused",
  async () => {
    for (const call of inParts(["prepare", "write", "run", "read"] as const, (call) => call === "read")) {
      forget();
      const { info } = await chosen(losing(await graphicsCard(AUTO), call, 2));
      assert.is(info.why, "a graphics card failed: the device was lost");
    }
    await assertFails("device-lost", [], async () => chosen(losing(await graphicsCard(), "read", 2)));
    assert.ok((await count(await graphicsCard(), chosen)) > 0);
  },
);

/** A card that computes some dispatches of programs wrongly: products of some segments. */
const wrongIn = (card: Card, isWrong: (segment: Segment) => boolean) =>
  changing(card, (list, segment) =>
    list.map((one) => (isWrong(segment) && one.kernel.variants ? withScalar(one, "n", (n) => n - 4) : one)),
  );

test("what generates is checked in all that it does; a wrong device is used for nothing more", async () => {
  forget();
  const decoding = wrongIn(await graphicsCard(AUTO), ({ name }) => name === "decode");
  const first = await inferring(decoding);
  assert.not.match(first.classifier.device.why!, "wrongly");
  assert.match(first.lm.device.why!, /^a graphics card computes wrongly: logits .* in a whole submission differs/);
  // The runs that it would be right for are the CPU's now; one CPU with the given threads replaces it.
  assert.match((await trained(decoding)).device.why!, "computes wrongly");
  const card: Backend = { ...wrongIn(await graphicsCard(AUTO), () => true), threads: 3 };
  const { device } = await chosen(card);
  assert.match(device.info.name, "3 threads");
  assert.is((await chosen(card, { rank: 5 })).device, device);
  const right = await inferring(await testDevice("wasm 1 thread"));
  const wrong = await inferring(card);
  assert.equal(wrong.ids, right.ids);
  card.destroy();
  await assertFails("already-destroyed", [], () => trained(device));
});

test("a device that does not run a shader of the whole is refused: nothing runs that was not compared", async () => {
  const card = await graphicsCard();
  const work = await workOf(card, { rank: 2 });
  const { programs } = await workOf(card, { mode: "prefix" });
  await assertFails("device-failed", ["prefix_copy", "could not be compared"], () =>
    chooseDevice(card, { ...work, programs }),
  );
});

/** The work of a run of the tiny model. */
const workOf = (device: Backend, options: Partial<TrainOptions>) =>
  withModel(async (model) => {
    const data = await tinyData(messages(20));
    const mode = options.mode ?? "lora";
    return trainingOf(device, prepareRun({ device, model, data, ...ofMode(options, mode) }));
  });

const SIZE = { ...TINY, n_positions: 256, n_layer: 4, n_head: 6, n_embd: 192, n_inner: 512 };

for (const [declare, name, config] of [
  [test, "GPT-2", SIZE],
  [testAll, "a relative", { ...SIZE, ...RELATIVE, n_inner: 512 }],
  [testAll, "Llama", { ...SIZE, ...LLAMA, n_inner: 512 }],
] as const)
  declare(`the small model has every shader of the whole, with its constants: ${name}`, async () => {
    const { limits, info } = await graphicsCard();
    // By default a binding is as small as WebGPU allows: it splits the token table of a wide model.
    const device = { limits: { ...limits, maxBinding: 2 ** 24 }, info } as Backend;
    const dtypes = TESTS === "quick" ? (["f32", "q4"] as const) : COMMON_DTYPES;
    const sets = { messages: await tinyData(messages(20)), texts: await texts() };
    const LORA: Partial<TrainOptions>[] = [
      { recompute: "on" },
      { dora: true, dropout: 0.1 },
      { layers: [1], targets: ["q", "proj"] },
      { layers: [0, 2], rank: 64 },
      { layers: [0, 2], dtype: "q8" },
    ];
    for (const data of Object.values(sets)) {
      const isLm = data === sets.texts;
      const modes = possibleModes(config).filter((mode) => !(isLm && METHODS[mode].classifiersOnly));
      const methods = modes.flatMap((mode): Partial<TrainOptions>[] =>
        (METHODS[mode].freezesNothing || config.model_type ? (["f32"] as const) : dtypes).map((dtype) => ({
          mode,
          dtype,
        })),
      );
      const tokens: Partial<TrainOptions>[] = isLm ? [] : [{ targets: ["wte", "q", "head"] }];
      for (const options of [...methods, ...LORA, ...tokens]) {
        const model = { config, vocabulary: { fingerprint: data.vocabulary } } as never;
        const settings = ofMode({ layers: null, ...options }, options.mode ?? "lora");
        const prepared = prepareRun({ device, model, data, batchSize: 8, featureBudget: 0, ...settings });
        const work = trainingOf(device, prepared);
        await assertCovers(work, JSON.stringify(options));
        const { spec } = prepared;
        if (!isLm) continue;
        const plan = Decoder.plan(device, { spec, capacity: { tokens: 512, sequences: 8 } });
        const pipelines = await assertCovers(
          generationWork(device, plan, Decoder),
          `generation: ${JSON.stringify(options)}`,
        );
        // Tiles that the small model's few rows do not suggest.
        assert.ok(pipelines.some((one) => one.includes("_wide")));
      }
    }
  });

/** Returns the pipelines of the whole. */
async function assertCovers(work: Work, what: string): Promise<string[]> {
  const { limits, info } = await graphicsCard();
  const prepare = async () => ({ write() {} }) as never;
  const { plan } = await work.create({ limits, info, prepare, destroy() {} }, excerptOf(work));
  const has = listPipelines(dispatchesOf([plan]).flatMap(variantsOf(work.programs)));
  const wanted = listPipelines(dispatchesOf(work.programs));
  assert.equal(
    wanted.filter((one) => !has.includes(one)),
    [],
    what,
  );
  return wanted;
}

/** Far more milliseconds than two small blocks take on a busy machine. */
const SLOW = 10_000;
const SLOWER = /^faster than a graphics card: \d+\.\d ms for some blocks, not \d+\.\d ms$/;

test("of a device that was chosen automatically the faster one is taken", async () => {
  forget();
  const slow = await graphicsCard(AUTO, { delay: SLOW });
  const { info } = await chosen(slow);
  assert.match(info.why!, SLOWER);
  assert.is(await count(slow, chosen), 0);
  // The next process: the card is faster now, but a repeated run has the same bits.
  assert.is((await chosen(await graphicsCard(AUTO))).info.why, `${info.why}, as measured earlier`);
  assert.match((await chosen(await graphicsCard(AUTO, { delay: SLOW }), { rank: 3 })).info.why!, SLOWER);
});

testAll("a resumed run stays on its kind of device", async () => {
  forget();
  const slow = await graphicsCard(AUTO, { delay: SLOW });
  assert.match((await chosen(slow)).info.why!, SLOWER);
  const stopped = async (device: Backend) => {
    const folder = temporaryFolder();
    await keepCheckpoint(folder, await stopAfter(2, (stop) => trained(device, stop)));
    return lastCheckpoint(folder);
  };
  const [onCpu, onCard] = [await stopped(slow), await stopped(await graphicsCard())];
  assert.equal([onCpu.device, onCard.device], ["wasm", "webgpu"]);
  const card = await graphicsCard(AUTO);
  const resumed = await trained(card, { resume: onCpu });
  assert.equal([resumed.device.kind, resumed.device.why, card.prepared], ["wasm", "the run began on the CPU", 0]);
  const cpu = await openWasm({ threads: 1 });
  assert.equal(listTensors(resumed), listTensors(await trained(cpu)));
  // The CPU was faster when it was measured.
  assert.is((await trained(card, { resume: onCard })).device.kind, "webgpu");
  // A device that was not chosen automatically is taken as it is.
  assert.is((await trained(await graphicsCard(), { resume: onCpu })).device.kind, "webgpu");
  assert.is((await trained(cpu, { resume: onCard })).device.kind, "wasm");
  cpu.info.why = "no hardware GPU found";
  await assertFails("no-webgpu", ["no hardware GPU", 'device "wasm"'], () => trained(cpu, { resume: onCard }));
  cpu.destroy();
});

testAll("a model that needs other shaders than the one before it is checked, too", async () => {
  const folder = temporaryFolder();
  const save = async (name: string, lora: Partial<LoraConfig>) => {
    const meta = testMeta(lora, { base_model: directory, model: TINY, settings: {} });
    await writeAdapter(join(folder, name), { meta, tensors: drawTensors(meta, name.length) });
    return join(folder, name);
  };
  const [first, other] = [
    await save("first", { r: 2 }),
    await save("other", { target_modules: ["q"], use_dora: true }),
  ];
  const answers = async (device: Backend) => {
    await Classifier.load(first, { device });
    const classifier = await Classifier.load(other, { device });
    const [{ probabilities }] = (await classifier.classify(["you have won a prize"])) as [Classification];
    return { number: probabilities.spam!, why: classifier.device.why };
  };
  await preferCard(cache, answers);
  const right = await answers(await graphicsCard(AUTO));
  assert.match(right.why!, "faster than the CPU");
  writeKept(readKept().map(([key, kept]) => [key, { ...kept, isRight: false }]));
  const wrong = (card: Card) =>
    changing(card, (list) => (list.some(({ kernel }) => kernel.name.startsWith("dora")) ? [] : [...list]));
  const left = await answers(wrong(await graphicsCard(AUTO)));
  assert.match(left.why!, "computes wrongly");
  assert.ok(Math.abs(left.number - right.number) < 1e-5);
  const named = wrong(await graphicsCard());
  await assertFails("device-failed", ["computes wrongly", 'device "wasm"'], () => answers(named));
});

test("an abort ends the check at once, and the next run repeats it", async () => {
  forget();
  const abort = new AbortController();
  const reason = new Error("enough");
  const card = await graphicsCard(AUTO);
  let reads = 0;
  const watched: Backend = {
    ...card,
    async prepare(...args) {
      const session = await card.prepare(...args);
      const read = session.read.bind(session);
      session.read = async (...what) => {
        reads++;
        abort.abort(reason);
        return read(...what);
      };
      return session;
    },
  };
  assert.is(await trained(watched, { signal: abort.signal }).catch((error) => error), reason);
  const before = reads;
  await trained(watched);
  assert.ok(reads > 2 * before, "no second check");
});
