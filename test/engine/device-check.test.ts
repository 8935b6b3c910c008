/** A device is compared with the CPU before it is trusted: right ones pass, a single wrong tile does not. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { openWasm } from "../../src/backend/wasm.ts";
import type { LoraConfig } from "../../src/config.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { loadTexts } from "../../src/data/texts.ts";
import { checkDevice, type Mismatch } from "../../src/engine/device-check.ts";
import { keepTimes, keptTimes } from "../../src/engine/device-times.ts";
import { DeviceError } from "../../src/errors.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/language-model.ts";
import { loadModel } from "../../src/io/hf.ts";
import type { ModelPlan } from "../../src/model/model.ts";
import type { Dispatch } from "../../src/ops/kernel.ts";
import { keepCheckpoint, lastCheckpoint } from "../../src/run/checkpoint.ts";
import type { TrainOptions } from "../../src/train/options.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import type { Checkpoint } from "../../src/train/records.ts";
import { trainingWork } from "../../src/train/training-check.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { graphicsCard, miscompiling } from "../helpers/graphics-card.ts";
import { test } from "../helpers/harness.ts";
import { setEnvironment } from "../helpers/http.ts";
import { stopAfter } from "../helpers/runs.ts";
import { chosen, directory, inferring, listTensors, trained } from "../helpers/short-run.ts";
import { assertCode, type Finished, runCommand } from "../helpers/spawn.ts";
import { messages, TINY, tinyData } from "../helpers/tiny.ts";

/** The user's cache directory. */
const cache = temporaryFolder();
setEnvironment({ LOWRANK_CACHE: cache });

/** Checks a device with the first batch of a run with these options. */
async function check(device: Backend, options: Partial<TrainOptions>, isTexts = false): Promise<Mismatch | null> {
  const model = await loadModel(directory);
  try {
    const text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
    const file = bytesReader("book.txt", new TextEncoder().encode(text));
    const data = isTexts ? await loadTexts({ file }, { maxLength: 32 }) : await tinyData(messages(20));
    const run = { device, model, data, ...options };
    const cpu = await testDevice("wasm 2 threads");
    const found = await checkDevice(device, cpu, await trainingWork(run, [prepareRun(run)]), { isTimed: false });
    assert.is(found.failure, undefined);
    return found.mismatch;
  } finally {
    await model.close();
  }
}

const CASES: [options: Partial<TrainOptions>, isTexts?: boolean][] = [
  [{ rank: 4 }],
  [{ rank: 4, layers: [1], targets: ["q", "proj"] }],
  [{ mode: "all" }],
  [{ mode: "last_block" }],
  [{ mode: "last_layer" }],
  [{ rank: 4 }, true],
  [{ mode: "all" }, true],
];

for (const [options, isTexts = false] of CASES)
  test(`webgpu passes: ${JSON.stringify(options)}${isTexts ? ", texts" : ""}`, async () => {
    assert.is(await check(await testDevice("webgpu"), options, isTexts), null);
  });

for (const [name, words] of [
  ["h.0.attn.c_attn", /logits|loss/],
  ["block.1", /logits|loss/],
  ["dh.0.mlp.c_fc.input", /^the gradient of /],
  ["h.1.down", /logits|loss|gradient/],
] as const)
  test(`a wrong tile in ${name} is found`, async () => {
    let hits = 0;
    const device = miscompiling(await testDevice("wasm 1 thread"), ({ tensors }) => {
      const isHit = tensors[0]!.name === name;
      hits += Number(isHit);
      return isHit;
    });
    const found = await check(device, { rank: 5 });
    assert.ok(hits > 0, "no dispatch was hit");
    assert.ok(found && found.error > 1e-3, JSON.stringify(found));
    assert.match(found.what, words);
  });

/** Whether a dispatch computes the tensor of this name. */
const computes =
  (name: string) =>
  ({ tensors }: Dispatch) =>
    tensors[0]!.name === name;

test("a run on a device that computes wrongly ends on the CPU, with the CPU's bits, and says why", async () => {
  const device = miscompiling(await graphicsCard(), computes("h.1.mlp.c_fc"));
  const result = await trained(device);
  assert.is(result.device.kind, "wasm");
  assert.match(
    result.device.why!,
    /^a graphics card computes wrongly: (loss|logits|the gradient of \S+) differs from the CPU's by \d/,
  );
  const cpu = await openWasm({});
  assert.equal(listTensors(result), listTensors(await trained(cpu)));
  cpu.destroy();
});

test("a device that was found wrong is used for nothing more; one CPU with the given threads replaces it", async () => {
  const card = await graphicsCard();
  const device: Backend = { ...miscompiling(card, computes("h.1.mlp.c_fc")), threads: 3 };
  assert.match((await trained(device)).device.name, "3 threads");
  const { prepared } = card;
  for (const options of [{}, { rank: 4 }, { mode: "all" } as const]) {
    const { kind, why } = (await trained(device, options)).device;
    assert.is(kind, "wasm");
    assert.match(why!, "computes wrongly");
  }
  const { lm, classifier } = await inferring(device);
  assert.equal([lm.device.kind, classifier.device.kind], ["wasm", "wasm"]);
  assert.is(card.prepared, prepared);
  const { device: cpu } = await chosen(device);
  assert.is((await chosen(device, { rank: 5 })).device, cpu);
  device.destroy();
  await assertFails(DeviceError, "already-destroyed", [], () => trained(cpu));
});

test("a device is checked before it classifies or generates", async () => {
  const cpu = await testDevice("wasm 1 thread");
  const right = await inferring(cpu);
  const same = await inferring(await testDevice("webgpu"));
  assert.equal([same.classifier.device.kind, same.lm.device.kind, same.ids], ["webgpu", "webgpu", right.ids]);
  const wrong = await inferring(miscompiling(await graphicsCard(), computes("block.1")));
  for (const { device } of [wrong.classifier, wrong.lm]) {
    assert.is(device.kind, "wasm");
    assert.match(device.why!, /^a graphics card computes wrongly: /);
  }
  assert.equal(wrong.ids, right.ids);
  // The kernels of a single token are others than those of a prompt.
  const decoding = miscompiling(await graphicsCard(), (_, segment) => segment === "decode");
  const model = await loadModel(directory);
  const { device } = await LanguageModel.of(model, null, { device: decoding });
  await model.close();
  assert.match(device.why!, "the result of the next token differs");
});

test("a language model that generates one text at a time is checked", async () => {
  const model = await loadModel(directory);
  const lm = await LanguageModel.of(model, null, { device: await graphicsCard(), batchSize: 1 });
  await model.close();
  assert.is(lm.device.name, "a graphics card", lm.device.why);
});

test("a device that computes rightly is used; the check is made once for a kind of plan", async () => {
  const card = await graphicsCard();
  assert.is((await trained(card)).device.name, "a graphics card");
  assert.is(card.prepared, 2);
  await trained(card, { alpha: 7 });
  assert.is(card.prepared, 3);
  await trained(card, { rank: 3 });
  assert.is(card.prepared, 5);
});

/** Far more milliseconds than two small blocks take on a busy machine. */
const SLOW = 150;
/** The file in which times are kept. */
const TIMES = join(cache, "device-times.json");
const SLOWER = /^faster than a graphics card: \d+\.\d ms for two blocks, not \d+\.\d ms$/;
const FASTER = /^faster than the CPU: \d+\.\d ms for two blocks, not \d+\.\d ms$/;

test("of a device that was chosen automatically the faster one is taken, and both times are named and kept", async () => {
  rmSync(TIMES, { force: true });
  const card = await graphicsCard("a hardware GPU", { delay: SLOW });
  const { kind, why } = (await trained(card)).device;
  assert.is(kind, "wasm");
  assert.match(why!, SLOWER);
  const { prepared } = card;
  assert.equal((await trained(card)).device.why, why);
  assert.is(card.prepared, prepared, "measured again");

  // The next process: the card is faster now, but a repeated run has the same bits.
  const next = await graphicsCard("a hardware GPU");
  assert.is((await trained(next)).device.why, `${why}, as measured earlier`);
  assert.is(next.prepared, 0);
  // Another card and another size are measured.
  const other = await graphicsCard("a hardware GPU", { delay: SLOW });
  other.info.name = "another card";
  assert.match((await trained(other)).device.why!, /^faster than another card: .* ms$/);
  assert.match((await trained(await graphicsCard("a hardware GPU", { delay: SLOW }), { rank: 3 })).device.why!, SLOWER);
});

test("a faster device is used; its times are kept, and it is still checked", async () => {
  rmSync(TIMES, { force: true });
  const first = await chosen(await graphicsCard("a hardware GPU", { isInstant: true }));
  assert.is(first.info.kind, "webgpu");
  assert.match(first.info.why!, FASTER);
  const again = await graphicsCard("a hardware GPU");
  assert.is((await trained(again)).device.why, `${first.info.why}, as measured earlier`);
  assert.is(again.prepared, 2);
  const wrong = miscompiling(await graphicsCard("a hardware GPU"), computes("h.1.mlp.c_fc"));
  assert.match((await trained(wrong)).device.why!, "computes wrongly");
});

test("the newest times are kept; a damaged file is replaced", async () => {
  rmSync(TIMES, { force: true });
  for (let i = 0; i < 110; i++) await keepTimes(`${i}`, { device: i + 1, cpu: 1 });
  await keepTimes("50", { device: 3, cpu: 4 });
  assert.equal(await keptTimes("50"), { device: 3, cpu: 4 });
  assert.equal(await keptTimes("9"), undefined);
  assert.equal(await keptTimes("10"), { device: 11, cpu: 1 });
  const whole = readFileSync(TIMES, "utf8");
  assert.is(JSON.parse(whole).length, 100);
  const damaged = [
    "",
    "[[",
    "null",
    '{"50":1}',
    '[null,[1,2],["50"],["50",{"device":"3","cpu":4}]]',
    whole.slice(0, 999),
  ];
  for (const text of damaged) {
    writeFileSync(TIMES, text);
    assert.is(await keptTimes("50"), undefined);
    await keepTimes("50", { device: 3, cpu: 4 });
    assert.equal(await keptTimes("50"), { device: 3, cpu: 4 });
  }
  // It cannot be written: a folder is in its place.
  rmSync(TIMES);
  mkdirSync(TIMES);
  await keepTimes("50", { device: 3, cpu: 4 });
  assert.is(await keptTimes("50"), undefined);
  rmSync(TIMES, { recursive: true });
});

test("a device that computes rightly at first and wrongly after is found", async () => {
  const card = await graphicsCard();
  const lying: Backend = {
    ...card,
    async prepare(...args) {
      const session = await card.prepare(...args);
      const { read } = session;
      let reads = 0;
      // The loss of the first pass is right.
      return Object.assign(session, {
        read: async (...what: Parameters<typeof read>) => {
          const values = await read.apply(session, what);
          return reads++ === 0 ? values : values.map((value) => 2 * value);
        },
      });
    },
  };
  const { why } = (await trained(lying)).device;
  assert.match(why!, /^a graphics card computes wrongly: loss differs/);
});

/** A card that computes some programs wrongly. */
const wrongFor = (card: Backend, isWrong: (plan: ModelPlan) => boolean): Backend => ({
  ...card,
  async prepare(program, ...rest) {
    const session = await card.prepare(program, ...rest);
    const { read } = session;
    if (!isWrong(program as ModelPlan)) return session;
    return Object.assign(session, {
      read: async (...what: Parameters<typeof read>) => (await read.apply(session, what)).map((value) => 2 * value),
    });
  },
});

const LATER = {
  "an adapter with DoRA": ({ segments }: ModelPlan) => segments.some(({ name }) => name === "norms"),
  "the base model alone": ({ parameters }: ModelPlan) => ![...parameters.all.values()].some(({ part }) => part === "A"),
};

for (const [what, isWrong] of Object.entries(LATER))
  test(`${what}, after a first adapter: a card that computes it wrongly is left, a named one refused`, async () => {
    const folder = temporaryFolder();
    const save = async (name: string, lora: Partial<LoraConfig>) => {
      const meta = testMeta(lora, { base_model: directory, model: TINY, settings: {} });
      await writeAdapter(join(folder, name), { meta, tensors: drawTensors(meta, name.length) });
      return join(folder, name);
    };
    const first = await save("first", { r: 2 });
    const other = await save(
      "other",
      what === "an adapter with DoRA" ? { target_modules: ["q"], use_dora: true } : { r: 3 },
    );
    const text = "you have won a prize";
    const answers = async (device: Backend) => {
      const classifier = await Classifier.load(first, { device });
      await classifier.loadAdapter(other, "other");
      const both = await classifier.classify([text, text], { adapterNames: ["default", "other"] });
      await classifier.setAdapter("other");
      const swapped = await classifier.classify(text);
      await classifier.disableAdapters();
      const all = [...both, ...swapped, ...(await classifier.classify(text))];
      return { numbers: all.map(({ probabilities }) => probabilities.spam!), device: classifier.device };
    };
    const cpu = await openWasm({});
    const expected = (await answers(cpu)).numbers;
    cpu.destroy();
    const auto = "a hardware GPU";
    rmSync(TIMES, { force: true });
    await answers(await graphicsCard(auto, { isInstant: true }));
    const right = await answers(await graphicsCard(auto));
    assert.is(right.device.kind, "webgpu");
    const left = await answers(wrongFor(await graphicsCard(auto), isWrong));
    assert.match(left.device.why!, /^a graphics card computes wrongly: logits/);
    // What was answered before is the card's.
    assertAllClose("spam", left.numbers, expected, { rtol: 1e-5, atol: 1e-6 });
    const named = wrongFor(await graphicsCard(), isWrong);
    await assertFails(DeviceError, "device-failed", ["computes wrongly", "--device wasm"], () => answers(named));
  });

/** A run that is stopped after its second step; returns its checkpoint from disk. */
async function stopped(device: Backend): Promise<Checkpoint> {
  const folder = temporaryFolder();
  await keepCheckpoint(folder, await stopAfter(2, (stop) => trained(device, stop)));
  return lastCheckpoint(folder);
}

test("a resumed run continues on its kind of device, whichever is faster now", async () => {
  rmSync(TIMES, { force: true });
  const auto = "a hardware GPU";
  const onCPU = await stopped(await graphicsCard(auto, { delay: SLOW }));
  const onCard = await stopped(await graphicsCard());
  assert.equal([onCPU.device, onCard.device], ["wasm", "webgpu"]);
  const card = await graphicsCard(auto);
  const resumed = await trained(card, { resume: onCPU });
  assert.equal([resumed.device.kind, resumed.device.why, card.prepared], ["wasm", "the run began on the CPU", 0]);
  const cpu = await openWasm({});
  assert.equal(listTensors(resumed), listTensors(await trained(cpu)));
  // The CPU was faster when it was measured.
  assert.is((await trained(card, { resume: onCard })).device.kind, "webgpu");

  // A device that was not chosen automatically is taken as it is.
  assert.is((await trained(await graphicsCard(), { resume: onCPU })).device.kind, "webgpu");
  assert.is((await trained(cpu, { resume: onCard })).device.kind, "wasm");
  cpu.info.why = "no hardware GPU found";
  await assertFails(DeviceError, "no-webgpu", ["no hardware GPU", "--device wasm"], () =>
    trained(cpu, { resume: onCard }),
  );
  cpu.destroy();
});

test("train --resume continues on the kind of device that computed the checkpoint, unless --device is given", async () => {
  const cwd = temporaryFolder();
  writeFileSync(join(cwd, "messages.csv"), messages(20));
  const run = ["--model", directory, "--data", "messages.csv", "--rank", "2", "--epochs", "9", "--json"];
  const printedPlan = ({ stdout }: Finished) => JSON.parse(stdout.split("\n").find((line) => line.includes('"plan"'))!);
  const stopped = await runCommand(
    "train",
    [...run, "--device", "webgpu", "--out", "first", "--checkpoint-every", "2"],
    { cwd, watch: (stdout, kill) => /"step":3\b/.test(stdout) && kill("SIGTERM") },
  );
  assertCode(stopped, 130);
  assert.is(JSON.parse(readFileSync(join(cwd, "first", "run.json"), "utf8")).device.kind, "webgpu");
  cpSync(join(cwd, "first"), join(cwd, "second"), { recursive: true });
  for (const [out, args, kind] of [
    ["first", [], "webgpu"],
    ["second", ["--device", "auto"], "wasm"],
  ] as const) {
    const resumed = await runCommand("train", ["--resume", out, "--json", ...args], { cwd });
    assertCode(resumed, 0);
    assert.is(printedPlan(resumed).device.kind, kind);
  }
});

test("an abort ends the check at once, and the next run repeats it", async () => {
  rmSync(TIMES, { force: true });
  const abort = new AbortController();
  const reason = new Error("enough");
  const card = await graphicsCard("a hardware GPU", { delay: 1 });
  let reads = 0;
  const prepare = card.prepare.bind(card);
  card.prepare = async (...args) => {
    const session = await prepare(...args);
    const read = session.read.bind(session);
    session.read = async (...what) => {
      reads++;
      abort.abort(reason);
      return read(...what);
    };
    return session;
  };
  const error = await trained(card, { signal: abort.signal }).catch((error) => error);
  assert.is(error, reason);
  // The loss of the first pass.
  assert.is(reads, 1);
  await trained(card);
  assert.ok(reads > 10, "no second check");
});
