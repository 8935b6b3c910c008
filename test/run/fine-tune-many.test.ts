/** Several runs at once: each has the bits of `fineTune` alone, and is settled by itself. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import type { ErrorCode } from "../../src/error-codes.ts";
import {
  type Checkpoint,
  Classifier,
  type FineTuneRun,
  fineTune,
  fineTuneMany,
  RunFailed,
  type RunSettings,
  type TrainEvent,
} from "../../src/index.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { graphicsCard } from "../helpers/graphics-card.ts";
import { test, testAll } from "../helpers/harness.ts";
import { assertSameRun, modelAnd, stopAfter } from "../helpers/runs.ts";
import { messages, tinyData } from "../helpers/tiny.ts";

const folder = temporaryFolder();
/** 4 steps an epoch, evaluated after every second one. */
const SETTINGS: RunSettings = { batchSize: 8, epochs: 2, lr: 1e-2, evalEvery: 2, headInit: "uniform" };
const RANKS: RunSettings[] = [2, 3].map((rank) => ({ ...SETTINGS, rank, alpha: 2 * rank }));
const HEAD: RunSettings = { ...SETTINGS, mode: "last_layer" };

const base = modelAnd(() => tinyData(messages(24), { split: "random" }));

/** The CPU of two threads, on which each run has one; as a graphics card, on which they share a plan. */
const DEVICES = ["wasm 2 threads", "a graphics card", "webgpu", "remote"];
let card: Promise<Backend> | undefined;

async function common(name = "wasm 2 threads") {
  if (name === "a graphics card") card ??= graphicsCard();
  return { device: await (name === "a graphics card" ? card! : testDevice(name)), ...(await base()) };
}

/** Declares a test on each of the devices: a card's plan has all there is to go wrong, and the CPU's arithmetic. */
function testOnEach(name: string, body: (all: Awaited<ReturnType<typeof common>>) => Promise<void>): void {
  for (const device of DEVICES) {
    const declare = device === "a graphics card" ? test : testAll;
    declare(`${name} on ${device}`, async () => body(await common(device)));
  }
}

/** The runs' results; throws the reason of one that failed. */
function fulfilled(settled: readonly PromiseSettledResult<FineTuneRun>[]): FineTuneRun[] {
  return settled.map((one) => {
    if (one.status === "rejected") throw one.reason;
    return one.value;
  });
}

/** Listens to runs: in which order they took their steps. */
function listening(runs: readonly RunSettings[]) {
  const order: number[] = [];
  const events = runs.map(() => [] as TrainEvent["type"][]);
  const listened = runs.map((run, i) => ({
    ...run,
    onEvent: (event: TrainEvent) => {
      events[i]!.push(event.type);
      if (event.type === "step") order.push(i);
    },
  }));
  return { order, events, listened };
}

testOnEach("two ranks at once and the head alone afterwards, each with the bits of fineTune", async (all) => {
  const runs = [RANKS[0]!, HEAD, RANKS[1]!];
  const { order, events, listened } = listening(runs);
  const got = fulfilled(await fineTuneMany({ ...all, runs: listened }));
  for (const [i, run] of runs.entries()) assertSameRun(got[i]!, await fineTune({ ...all, ...run }));
  const count = got[0]!.steps.length;
  assert.ok(count >= 8, `${count} steps`);
  // In one batch they take their steps in turns.
  if (all.device.info.kind === "webgpu")
    assert.equal(order, [...Array(count).fill([0, 2]).flat(), ...Array(count).fill(1)]);
  for (const types of events) {
    assert.equal([types[0], types[1], types.at(-1)], ["plan", "start", "end"]);
    assert.is(types.filter((type) => type === "step").length, count);
  }
});

test("each is saved and loaded as a run of fineTune is", async () => {
  const all = await common();
  const runs = [...RANKS, HEAD];
  const runDirectory = (i: number) => join(folder, `many-${i}`);
  const saved = runs.map((run, i) => (i === 0 ? run : { ...run, save: runDirectory(i) }));
  for (const [i, run] of fulfilled(await fineTuneMany({ ...all, runs: saved })).entries()) {
    const [many, alone] = [runDirectory(i), join(folder, `alone-${i}`)];
    assert.is(existsSync(many), i > 0);
    await run.save(many);
    await (await fineTune({ ...all, ...runs[i] })).save(alone);
    const said = await Promise.all([many, alone].map((directory) => classify(directory, all.device)));
    assert.equal(said[0], said[1]);
    assert.is(said[0]![0]!.label, "spam");
  }
  await assertFails("output-exists", ["many-1"], () => fineTuneMany({ ...all, runs: saved }));
  const twice = [HEAD, HEAD].map((run) => ({ ...run, save: join(folder, "twice") }));
  await assertFails("duplicate-directory", ["runs[1]"], () => fineTuneMany({ ...all, runs: twice }));
});

async function classify(directory: string, device: Backend) {
  const classifier = await Classifier.load(directory, { device });
  const found = await classifier.classify(["you have won a prize, call now, code 7"]);
  classifier.destroy();
  return found;
}

testOnEach("one that diverges is rejected, and the others have the bits of fineTune", async (all) => {
  const runs = [RANKS[0]!, { ...RANKS[1], lr: 1e30 }, HEAD];
  const [first, second, third] = await fineTuneMany({ ...all, runs });
  assert.is(second!.status, "rejected");
  const { reason } = second as PromiseRejectedResult;
  assert.instance(reason, RunFailed);
  assert.ok(reason.contents.tensors.size > 0);
  const values = fulfilled([first!, third!]);
  assertSameRun(values[0]!, await fineTune({ ...all, ...runs[0] }));
  assertSameRun(values[1]!, await fineTune({ ...all, ...runs[2] }));
});

test("one whose listener throws is rejected, and the others continue", async () => {
  const all = await common();
  const alone = await fineTune({ ...all, ...RANKS[1] });
  for (const type of ["plan", "step"] as const) {
    const onEvent = (event: TrainEvent) => {
      if (event.type === type) throw new Error("full");
    };
    const [first, second] = await fineTuneMany({ ...all, runs: [{ ...RANKS[0], onEvent }, RANKS[1]!] });
    assert.match((first as PromiseRejectedResult).reason.message, "full");
    assertSameRun(fulfilled([second!])[0]!, alone);
  }
});

testOnEach("an abort: runs that have stepped resolve as aborted, and resume to the bits of fineTune", async (all) => {
  const abort = new AbortController();
  const runs = [...RANKS, HEAD];
  const { events, listened } = listening(runs);
  const kept: Checkpoint[] = [];
  const stopping = listened.map((run, i) => ({
    ...run,
    onEvent: (event: TrainEvent) => {
      run.onEvent(event);
      if (event.type === "step" && event.record.step === 3 && i === 1) abort.abort();
    },
    onCheckpoint: async (checkpoint: Checkpoint) => {
      kept[i] = checkpoint;
    },
  }));
  const settled = await fineTuneMany({ ...all, signal: abort.signal, runs: stopping });
  for (const [i, one] of settled.entries()) {
    if (one.status === "rejected") assert.is(one.reason, abort.signal.reason);
    else assert.is(one.value.aborted, kept[i] !== undefined);
    assert.is(one.status === "rejected", !events[i]!.includes("step"));
  }
  const halted = [...runs.keys()].filter((i) => kept[i]);
  assert.ok(halted.includes(1));
  // In one batch the other rank is in the middle as well.
  if (all.device.info.kind === "webgpu") assert.equal(halted, [0, 1]);
  const again = halted.map((i) => ({ ...runs[i], resume: kept[i]! }));
  for (const [i, run] of fulfilled(await fineTuneMany({ ...all, runs: again })).entries())
    assertSameRun(run, await fineTune({ ...all, ...runs[halted[i]!] }));
});

test("a resumed run continues as it began, and shares no batch with a new one", async () => {
  const all = await common("a graphics card");
  const straight = await fineTune({ ...all, ...RANKS[0] });
  const resume = await stopAfter(2, (stop) => fineTune({ ...all, ...RANKS[0], ...stop }));
  const { order, listened } = listening([{ ...RANKS[0], resume }, RANKS[1]!]);
  const [first] = fulfilled(await fineTuneMany({ ...all, runs: listened }));
  assertSameRun(first!, straight);
  assert.equal(
    order,
    [...order].sort((a, b) => a - b),
  );
});

test("what is wrong with a run rejects the call before anything begins, with its place", async () => {
  const all = await common();
  const { events, listened } = listening(RANKS);
  const begun: unknown[] = [];
  const device: Backend = Object.create(all.device, {
    prepare: { value: (plan: unknown) => begun.push(plan) },
  });
  const refused = (runs: object[], code: ErrorCode, ...words: string[]) =>
    assertFails(code, words, () => fineTuneMany({ ...all, device, runs: runs as RunSettings[] }));
  const wrong: [object, ErrorCode, ...words: string[]][] = [
    [{ epoch: 1 }, "unknown-option", "epoch", "did you mean epochs?"],
    [{ rank: 0 }, "invalid-value"],
    [{ mode: "last_layer", rank: 4 }, "option-without-effect", "rank"],
    [{ mode: "all", dora: true }, "option-without-effect", "dora"],
    [{ dora: "yes" }, "invalid-argument", "dora", "true or false"],
    [{ onEvent: 7 }, "invalid-argument", "onEvent: 7"],
    [{ pause: () => {} }, "unknown-option", "pause"],
    [{ device: all.device }, "unknown-option", "device"],
    [{ accumulate: 8 }, "invalid-value", "accumulate"],
  ];
  for (const [run, code, ...words] of wrong) await refused([...listened, run], code, "runs[2]: ", ...words);
  await refused([], "invalid-argument", "runs: an empty array", "one or more objects");
  await refused([Promise.resolve({})], "invalid-argument", "runs: ", "is an await missing?");
  await assertFails("unknown-option", ["mean runs?"], () => fineTuneMany({ ...all, device, run: RANKS } as never));
  assert.equal([begun, ...events], [[], [], []]);
});
