/** A device that fails is left: what began on it ends on the CPU, unless the device was named. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Backend, describeReplaced } from "../../src/backend/backend.ts";
import { openWasm } from "../../src/backend/wasm.ts";
import { DeviceError } from "../../src/core/errors.ts";
import { numel } from "../../src/core/tensor.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { memoryTotals, withoutShared } from "../../src/plan/memory.ts";
import type { TrainEvent } from "../../src/train/records.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { CALLS, type Call, type Card, graphicsCard, losing, preferCard } from "../helpers/graphics-card.ts";
import { inParts, test, testAll, testInParts } from "../helpers/harness.ts";
import { setEnvironment } from "../helpers/http.ts";
import { TASKS } from "../helpers/models.ts";
import {
  chosen,
  directory,
  listTensors,
  type Own,
  trainAll,
  trained,
  untrained,
  withModel,
} from "../helpers/short-run.ts";
import { messages, TINY, tinyData } from "../helpers/tiny.ts";

/** The user's cache directory. */
const cache = temporaryFolder();
setEnvironment({ LOWRANK_CACHE: cache });
/** Why a device was chosen that the CPU can replace. */
const AUTO = "a hardware GPU";
/** `npm test` loses a device where a list is sent to it. */
const isQuick = (call: Call) => call === "run";
/** Why the CPU replaced it. */
const LOST = "a graphics card failed: the device was lost";

testInParts(
  "a device that is lost at any of its calls is left: the run ends on the CPU, with the CPU's bits, and says why",
  async () => {
    await preferCard(cache, chosen);
    const calls = new Map<Call, number>();
    const whole = await trained(losing(await graphicsCard(AUTO), null, 0, calls));
    assert.is(whole.device.kind, "webgpu");
    const cpu = await openWasm({ threads: 1 });
    const expected = listTensors(await trained(cpu));
    cpu.destroy();
    for (const call of inParts(CALLS, isQuick)) {
      const count = calls.get(call) ?? 0;
      assert.ok(count > 0 || call === "flush", `no ${call}`);
      if (count === 0) continue;
      const n = Math.ceil(count / 2);
      const where = `${call} ${n} of ${count}`;
      const result = await trained(losing(await graphicsCard(AUTO), call, n));
      assert.is(result.device.kind, "wasm", where);
      assert.is(result.device.why, LOST, where);
      assert.is(describeReplaced(result.device), "The GPU (a graphics card) failed: the CPU computes in its place.");
      assert.equal(listTensors(result), expected, where);
    }
    await assertFails("device-lost", ["the device was lost"], async () =>
      trained(losing(await graphicsCard(), "run", 2)),
    );
  },
);

const TEXT = "you have won a prize";

/** The directory of a language model's adapter. */
let written: Promise<string> | undefined;
const tales = () => {
  written ??= (async () => {
    const lora = { r: 2, target_modules: ["q" as const, "proj" as const] };
    const meta = testMeta(lora, { base_model: directory, model: TINY, task: TASKS.lm, labels: [], settings: {} });
    await writeAdapter(join(cache, "tales"), { meta, tensors: drawTensors(meta, 5) });
    return join(cache, "tales");
  })();
  return written;
};

/** What a classifier and a language model say, on a device. The classifier's tensors are replaced in between. */
const said = (device: Backend) =>
  withModel(async (model) => {
    const classifier = await untrained(model, device);
    const first = await classifier.logits(TEXT);
    const shape = [2, model.config.n_embd];
    const data = Float32Array.from({ length: numel(shape) }, (_, i) => Math.sin(i));
    classifier.update(new Map([["head.weight", { shape, data }]]));
    // Two calls at a time, which are joined.
    const second = await Promise.all([TEXT, "see you"].map((text) => classifier.logits(text)));
    const alone = await LanguageModel.of(model, null, { device });
    const { loss } = await alone.score(TEXT);
    // How many calls there are depends on how fast the device seems to be.
    const { now } = performance;
    performance.now = () => 0;
    // Longer than the context, and with the tokens before kept on the device.
    const prompt = `${TEXT} `.repeat(11);
    const lm = await LanguageModel.of(model, await loadAdapter(await tales(), model), { device });
    const options = { maxNewTokens: 12, repetitionPenalty: 1.5 };
    const texts = await lm.complete([prompt, TEXT], options).finally(() => {
      performance.now = now;
    });
    const devices = [classifier.device, lm.device];
    classifier.destroy();
    for (const one of [alone, lm]) one.destroy();
    return {
      numbers: [...first, ...second.flatMap((logits) => [...logits]), loss],
      ids: texts.map(({ ids }) => ids),
      devices,
    };
  });

testInParts(
  "a model whose device is lost at any of its calls answers from the CPU, with the tensors that it had",
  async () => {
    const cpu = await openWasm({ threads: 1 });
    const expected = await said(cpu);
    cpu.destroy();
    await preferCard(cache, said);
    const calls = new Map<Call, number>();
    const whole = await said(losing(await graphicsCard(AUTO), null, 0, calls));
    assert.equal(
      whole.devices.map(({ kind }) => kind),
      ["webgpu", "webgpu"],
    );
    for (const call of inParts(CALLS, isQuick)) {
      const count = calls.get(call) ?? 0;
      // Where it is loaded, and where it is used.
      for (const n of count === 0 ? [] : call === "prepare" ? [1, count - 1] : [count - 1]) {
        const { numbers, ids, devices } = await said(losing(await graphicsCard(AUTO), call, n));
        const where = `${call} ${n} of ${count}`;
        // The card rounds in another way.
        assertAllClose(where, numbers, expected.numbers, { rtol: 1e-5, atol: 1e-6 });
        assert.equal(ids, expected.ids, where);
        assert.is(devices[1]!.why, LOST, where);
      }
    }
    await assertFails("device-lost", ["the device was lost"], async () => said(losing(await graphicsCard(), "run", 2)));
  },
);

/** A device that chooses tokens which do not exist. */
function choosingWrongly(card: Card): Card {
  const prepare: Card["prepare"] = async (...args) => {
    const session = await card.prepare(...args);
    const { read } = session;
    session.read = async (tensor, ...where) => {
      const data = await read.call(session, tensor, ...where);
      return tensor.name === "drawn" ? data.fill(Number.NaN) : data;
    };
    return session;
  };
  return { ...card, prepare };
}

testAll("a device that chooses a token that does not exist is left", async () => {
  const cpu = await openWasm({ threads: 1 });
  const expected = await said(cpu);
  cpu.destroy();
  await preferCard(cache, said);
  const { ids, devices } = await said(choosingWrongly(await graphicsCard(AUTO)));
  assert.equal(ids, expected.ids);
  assert.match(devices[1]!.why!, /^a graphics card failed: the device chose a token that does not exist/);
  // The check of a named device would see it, if it had not been done before.
  await said(await graphicsCard());
  await assertFails("device-failed", ["chose a token", "found:    2143289344"], async () =>
    said(choosingWrongly(await graphicsCard())),
  );
});

/** Trains runs together. */
const together = (device: Backend) =>
  withModel(async (model) => {
    const own: Own[] = [{ rank: 4, lr: 1e20 }, { rank: 2 }, { rank: 3 }];
    const runs = own.map((settings) => ({ settings: { epochs: 1, ...settings }, start: {} }));
    const trained = await trainAll({ device, model, data: await tinyData(messages(12)) }, runs);
    assert.equal(
      trained.map(({ status }) => status),
      ["rejected", "fulfilled", "fulfilled"],
    );
    return trained.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  });

testAll("several runs end on the CPU if their device is lost, each with the CPU's bits", async () => {
  await preferCard(cache, together);
  const cpu = await openWasm({ threads: 1 });
  const onCpu = await together(cpu);
  cpu.destroy();
  const calls = new Map<Call, number>();
  const onCard = await together(losing(await graphicsCard(AUTO), null, 0, calls));
  assert.is(onCard[0]!.device.kind, "webgpu", onCard[0]!.device.why);
  for (const [call, part] of [
    ["run", 0.25],
    ["read", 0.75],
  ] as const) {
    const count = calls.get(call)!;
    const n = Math.ceil(part * count);
    const where = `${call} ${n} of ${count}`;
    const found = await together(losing(await graphicsCard(AUTO), call, n));
    assert.is(found.length, 2, where);
    assert.ok(
      found.some(({ device }) => device.why === LOST),
      where,
    );
    for (const [i, { device, tensors }] of found.entries()) {
      // One that had ended before keeps what it has.
      const right = device.why === LOST ? onCpu[i]! : onCard[i]!;
      for (const [name, { data }] of right.tensors) assertSameBits(`${where}: ${name}`, tensors.get(name)!.data, data);
    }
  }
});

test("after a checkpoint a run whose device is lost goes on from there", async () => {
  await preferCard(cache, chosen);
  const steps: number[] = [];
  const more = {
    epochs: 3,
    checkpointEvery: 2,
    onCheckpoint: async () => {},
    onEvent: (event: TrainEvent) => {
      if (event.type === "step") steps.push(event.record.step);
    },
  };
  const calls = new Map<Call, number>();
  await trained(losing(await graphicsCard(AUTO), null, 0, calls), more);
  const all = steps.splice(0);
  const { device } = await trained(losing(await graphicsCard(AUTO), "run", calls.get("run")! - 2), more);
  assert.is(device.kind, "wasm");
  // Every step was reported; those after the last checkpoint twice, and not all of them.
  assert.equal(
    [...new Set(steps)].sort((a, b) => a - b),
    all,
  );
  assert.ok(steps.length > all.length && steps.length < 2 * all.length, steps.join());
});

/** A card that refuses plans of more bytes, and knows it from then on, as WebGPU does. */
async function cramped(card: Card, most: number): Promise<Backend> {
  const { limits } = card;
  // Its check is small.
  const info = { ...card.info, software: true };
  return {
    ...card,
    info,
    get limits() {
      return { ...limits, total: (info.refused ?? Infinity) - 1 };
    },
    async prepare(program, sharedFrom) {
      const { total } = memoryTotals(withoutShared(program, undefined));
      if (total <= most) return card.prepare(program, sharedFrom);
      info.refused = Math.min(total, info.refused ?? Infinity);
      throw new DeviceError("out-of-memory", "no room");
    },
  };
}

test("a device that has no memory for a run is given the next smaller size that the settings leave open", async () => {
  const sizes: number[] = [];
  const onEvent = (event: TrainEvent) => {
    if (event.type === "plan") sizes.push(event.memory.peak);
  };
  // Its activations are most of a plan.
  const more = { epochs: 1, batchSize: 16, onEvent };
  const whole = await trained(await graphicsCard(), more);
  await trained(await graphicsCard(), { ...more, recompute: "on" });
  const [all, least] = sizes.splice(0) as [number, number];
  assert.ok(least < all);
  const found = await trained(await cramped(await graphicsCard(), all - 1), more);
  assert.equal(sizes.splice(0), [all, least]);
  assert.equal([found.device.kind, found.device.refused], ["webgpu", all]);
  assert.equal(listTensors(found), listTensors(whole));
  // Not even the check has room.
  await assertFails("out-of-memory", ["no room"], async () => trained(await cramped(await graphicsCard(), 1), more));
  // Sizes that were given are not changed: the CPU takes the run, or the error tells what would fit.
  const given = { ...more, recompute: "off", dtype: "f32" } as const;
  await preferCard(cache, (device) => trained(device, given));
  const onCpu = await trained(await cramped(await graphicsCard(AUTO), all - 1), given);
  assert.is(onCpu.device.why, "a graphics card failed: no room");
  await assertFails("out-of-memory", ["no room", 'use recompute "on"'], async () =>
    trained(await cramped(await graphicsCard(), all - 1), given),
  );
});
