/** What doctor finds: on a software driver and on the CPU, and where a shader is wrong or a measurement fails. */
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import {
  type CheckedShader,
  checkShaders,
  type DoctorReport,
  isWell,
  listMeasurements,
  type Measurement,
  newReport,
  runMeasurements,
} from "../../src/bench/doctor.ts";
import { findingBlocks } from "../../src/bench/doctor-blocks.ts";
import { DeviceError } from "../../src/errors.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { testDevice } from "../helpers/device.ts";
import { changing, graphicsCard } from "../helpers/graphics-card.ts";
import { test, testAll } from "../helpers/harness.ts";

const idle = () => {};
const inWords = (report: DoctorReport) => renderBlocks(findingBlocks(report));

/** Runs those measurements of a device whose names contain one of the words. */
async function examine(device: Backend, words: readonly string[]): Promise<DoctorReport> {
  const report = await newReport(device, {});
  const all = listMeasurements(device, await testDevice("wasm 1 thread"), report);
  const some = all.filter(({ what }) => words.some((word) => what.includes(word)));
  assert.is(some.length, words.length, some.map(({ what }) => what).join(", "));
  await runMeasurements(report, some, new AbortController().signal, idle);
  return report;
}

testAll("a software driver: each measurement adds its figures", async () => {
  const device = await testDevice("webgpu");
  const report = await examine(device, ["shaders of generation, gpt2-micro, q4", "rates", "readback"]);
  const { shaders, yardsticks, latency, gpus } = report;
  assert.equal(report.failures, []);
  assert.ok(isWell(report));
  assert.ok(gpus.some(({ features, limits }) => features.length > 0 && limits.maxBufferSize! > 0));
  assert.ok(shaders.length > 5 && shaders.every(({ error, comparisons }) => error < 1e-4 && comparisons > 0));
  assert.ok(shaders.some(({ shader }) => shader.endsWith(".quantized")));
  assert.ok(yardsticks!.copy > 0 && latency!.readback > 0 && latency!.dispatch >= 0);
  assert.match(inWords(report), /shaders in 1 plan agree with the CPU; largest error \d/);
});

test("a software driver has fewer measurements; what a dispatch costs is one of them", async () => {
  const card = await graphicsCard();
  const lists = await Promise.all(
    [card, { ...card, info: { ...card.info, software: true } }].map(async (device) => {
      const list = listMeasurements(device, card, await newReport(device, {}));
      return list.map(({ what }) => what);
    }),
  );
  const [all, few] = lists as [string[], string[]];
  assert.ok(few.every((what) => all.includes(what)));
  assert.equal(
    [all, few].map((some) => some.some((what) => what.includes("gpt2-xl"))),
    [true, false],
  );
  const { latency, failures } = await examine(card, ["readback"]);
  assert.equal(failures, []);
  assert.ok(latency!.readback > 0 && latency!.dispatch >= 0);
});

testAll("the CPU: a step and generation are measured", async () => {
  const report = await examine(await testDevice("wasm 1 thread"), [
    "a step of gpt2-micro",
    "generation with gpt2-micro",
  ]);
  assert.equal(report.failures, []);
  assert.match(inWords(report), /│ gpt2-micro │ f32 +│ +\d/);
});

test("the CPU has no shaders to compare, and all shapes", async () => {
  const device = await testDevice("wasm 1 thread");
  const report = await newReport(device, {});
  assert.match(inWords(report), "the CPU is what shaders are compared with");
  const all = listMeasurements(device, device, report).map(({ what }) => what);
  for (const what of ["a step of gpt2-small in q4", "generation with gpt2-small in f16"])
    assert.ok(all.includes(what), what);
  assert.not.ok(all.some((what) => what.includes("shaders")));
});

test("a wrong shader is named with the size of its error, and the others are compared all the same", async () => {
  const cpu = await testDevice("wasm 1 thread");
  const lying = changing(await graphicsCard(), (list) =>
    list.map((one) => (one.tensors[0]!.name === "block.0" ? { ...one, scalars: one.scalars.with(1, 8) } : one)),
  );
  const plan = { model: "gpt2-micro", purpose: "lora", dtype: "f32" } as const;
  const found = await checkShaders(lying, cpu, plan);
  // What follows from it in the whole is wrong, too.
  const wrong = found.filter(({ isRight, shader }) => !isRight && !shader.startsWith("all "));
  const [{ shader, error, where }] = wrong as [CheckedShader];
  assert.match(shader, /^linear_/);
  assert.match(where, /out = block\.0 \[\d+, 128\], element \d+$/);
  assert.ok(error > 0.1 && found.length > 15 && wrong.length === 1);
  const report = { ...(await newReport(cpu, {})), device: lying.info, shaders: found };
  assert.not.ok(isWell(report));
  assert.match(inWords(report), new RegExp(`│ ${shader} +│ a step of LoRA, gpt2-micro, f32 │`));
});

/** Runs measurements, which note that they have begun. */
async function run(measurements: readonly (readonly [string, Measurement["run"]])[], signal: AbortSignal) {
  const begun: string[] = [];
  const report = await newReport(await testDevice("wasm 1 thread"), {});
  const list = measurements.map(([what, run]) => ({ what, run }));
  await runMeasurements(report, list, signal, (_, what) => begun.push(what));
  return { report, begun };
}

const never = new AbortController().signal;

test("a measurement that fails is reported, and the next one runs; a lost device ends them", async () => {
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
  assert.match(words, "device lost; not measured: d");
});

test("an interruption leaves a measurement that does not end, and says what was left out", async () => {
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
  assert.match(inWords({ ...report, state: "interrupted" }), "interrupted; not measured: b, c");
  const { report: none } = await run([["a", hang]], AbortSignal.abort());
  assert.equal(none.leftOut, ["a"]);
});
