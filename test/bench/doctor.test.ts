/** What doctor finds: on a software driver and on the CPU, and where a shader is wrong or a step fails. */
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import {
  type CheckedShader,
  type DoctorReport,
  examine,
  isWell,
  listCases,
  listSteps,
  newReport,
  runSteps,
  type Step,
} from "../../src/bench/doctor.ts";
import { findingBlocks } from "../../src/bench/doctor-blocks.ts";
import { DeviceError } from "../../src/core/errors.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { testDevice } from "../helpers/device.ts";
import { changing, graphicsCard } from "../helpers/graphics-card.ts";
import { test, testAll } from "../helpers/harness.ts";

const RATES = "copy and multiply-add rates";
const LATENCY = "what a dispatch and a readback cost";
const idle = () => {};
const inWords = (report: DoctorReport) => renderBlocks(findingBlocks(report));

/** Runs those steps of a device whose names are these. */
async function doctor(device: Backend, names: readonly string[]): Promise<DoctorReport> {
  const report = await newReport(device, {});
  const all = listSteps(device, await testDevice("wasm 1 thread"), report);
  const some = all.filter(([what]) => names.includes(what));
  assert.is(some.length, names.length, all.map(([what]) => what).join("; "));
  await runSteps(report, some, new AbortController().signal, idle);
  return report;
}

testAll("a software driver: each step adds what it found", async () => {
  const device = await testDevice("webgpu");
  const report = await doctor(device, [RATES, LATENCY, "generation, gpt2-micro, q4"]);
  const { examined, yardsticks, latency, gpus } = report;
  assert.equal(report.failures, []);
  assert.ok(isWell(report));
  assert.ok(gpus.some(({ features, limits }) => features.length > 0 && limits.maxBufferSize! > 0));
  const [{ shaders, ms, cpu }] = examined as [DoctorReport["examined"][number]];
  assert.ok(shaders.length > 5 && shaders.every(({ error, comparisons }) => error < 1e-3 && comparisons > 0));
  assert.ok(shaders.some(({ shader }) => shader.endsWith(".quantized")));
  assert.ok(ms > 0 && cpu! > 0);
  assert.ok(yardsticks!.copy > 0 && latency!.readback > 0 && latency!.dispatch >= 0);
  assert.match(inWords(report), /│ generation │ gpt2-micro │ q4 +│ +\d+ │ +0 │ +\d\.\de-\d │ +\d/);
});

test("a software driver is examined with the smallest model; what a dispatch costs is measured", async () => {
  const card = await graphicsCard();
  const [all, few] = [false, true].map((software) => listCases({ ...card.info, software }));
  assert.ok(all!.some(({ model }) => model === "gpt2-xl") && few!.every(({ model }) => model === "gpt2-micro"));
  const { latency, failures } = await doctor(card, [LATENCY]);
  assert.equal(failures, []);
  assert.ok(latency!.readback > 0 && latency!.dispatch >= 0);
});

test("the CPU has no shaders to compare, and its times", async () => {
  const report = await doctor(await testDevice("wasm 1 thread"), [
    "training, gpt2-micro, f32",
    "classification, gpt2-micro, f32",
    "generation, gpt2-micro, q4",
  ]);
  assert.equal(report.failures, []);
  assert.equal(
    report.examined.map(({ work, shaders, cpu }) => [work, shaders, cpu]),
    ["training", "classification", "generation"].map((work) => [work, [], null]),
  );
  assert.match(inWords(report), /│ training +│ gpt2-micro │ f32 +│ +\d[\d.]* │\n/);
});

test("a wrong shader is named with the size of its error, and the others are compared all the same", async () => {
  const cpu = await testDevice("wasm 1 thread");
  const lying = changing(await graphicsCard(), (list) =>
    list.map((one) => (one.tensors[0]!.name === "block.0" ? { ...one, scalars: one.scalars.with(1, 8) } : one)),
  );
  const found = await examine(lying, cpu, { work: "training", model: "gpt2-micro", dtype: "f32" });
  // What follows from it in the whole is wrong, too.
  const wrong = found.shaders.filter(({ isRight, shader }) => !isRight && !shader.startsWith("all "));
  const [{ shader, error, where }] = wrong as [CheckedShader];
  assert.match(shader, /^linear_/);
  assert.match(where, /out = block\.0 \[\d+, 128\], element \d+$/);
  assert.ok(error > 0.1 && found.shaders.length > 15 && wrong.length === 1);
  const report = { ...(await newReport(cpu, {})), device: lying.info, examined: [found] };
  assert.not.ok(isWell(report));
  assert.match(inWords(report), new RegExp(`│ ${shader} +│ training, gpt2-micro, f32 │`));
});

/** Runs steps, and lists those that were begun. */
async function run(steps: readonly Step[], signal: AbortSignal) {
  const begun: string[] = [];
  const report = await newReport(await testDevice("wasm 1 thread"), {});
  await runSteps(report, steps, signal, (_, what) => begun.push(what));
  return { report, begun };
}

const never = new AbortController().signal;

test("a step that fails is reported, and the next one runs; a lost device ends them", async () => {
  const fail = (code: "out-of-memory" | "device-lost") => async () => {
    throw new DeviceError(code, "no more");
  };
  const bug = async () => {
    throw new RangeError("Array buffer allocation failed");
  };
  const done = async () => {};
  const steps = [
    ["a", fail("out-of-memory")],
    ["b", bug],
    ["c", fail("device-lost")],
    ["d", done],
  ] as const;
  const { report, begun } = await run(steps, never);
  assert.equal(begun, ["a", "b", "c"]);
  assert.equal(
    report.failures.map(({ what, code }) => [what, code]),
    [
      ["a", "out-of-memory"],
      ["b", "RangeError"],
      ["c", "device-lost"],
    ],
  );
  assert.equal(report.leftOut, ["d"]);
  assert.not.ok(isWell(report));
  const words = inWords(report);
  assert.match(words, "a failed: no more");
  assert.match(words, "b failed: RangeError: Array buffer allocation failed");
  assert.match(words, "device lost; not examined: d");
});

test("an interruption leaves a step that does not end, and says what was left out", async () => {
  const abort = new AbortController();
  const hang = () => {
    abort.abort();
    return new Promise<void>(() => {});
  };
  const { report, begun } = await run(
    [
      ["a", async () => {}],
      ["b", hang],
      ["c", async () => {}],
    ],
    abort.signal,
  );
  assert.equal(
    [begun, report.leftOut],
    [
      ["a", "b"],
      ["b", "c"],
    ],
  );
  assert.match(inWords({ ...report, state: "interrupted" }), "interrupted; not examined: b, c");
  const { report: none } = await run([["a", hang]], AbortSignal.abort());
  assert.equal(none.leftOut, ["a"]);
});
