/** What doctor finds: on a software driver and on the CPU, and where a shader is wrong or a measurement fails. */
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import {
  type DoctorReport,
  isWell,
  listMeasurements,
  type Measurement,
  newReport,
  runMeasurements,
} from "../../src/bench/doctor.ts";
import { findingBlocks } from "../../src/bench/doctor-blocks.ts";
import { nodeSurroundings } from "../../src/bench/doctor-node.ts";
import type { ExampleStep } from "../../src/bench/example-step.ts";
import { checkShaders } from "../../src/bench/shader-check.ts";
import { measureTorch } from "../../src/bench/step.ts";
import { DeviceError } from "../../src/errors.ts";
import { renderBlocks } from "../../src/views/terminal/render.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { usePython } from "../helpers/python.ts";

const around = nodeSurroundings();
const idle = () => {};
const inWords = (report: DoctorReport) => renderBlocks(findingBlocks(report));

/** Runs those measurements of a device whose names contain one of the words. */
async function examine(device: Backend, words: readonly string[]): Promise<DoctorReport> {
  const surroundings = await around;
  const report = await newReport(device, surroundings);
  const all = listMeasurements(device, await testDevice("wasm 2 threads"), report, surroundings);
  const some = all.filter(({ what }) => words.some((word) => what.includes(word)));
  assert.is(some.length, words.length, some.map(({ what }) => what).join(", "));
  await runMeasurements(report, some, new AbortController().signal, idle);
  return report;
}

test("a software driver has fewer measurements; each adds its figures", async () => {
  const device = await testDevice("webgpu");
  const report = await examine(device, [
    "shaders of generation, gpt2-micro, q4",
    "fixture 06_",
    "fixture 37_",
    "rates",
    "readback",
    "product LoRA x A^T",
    "attention",
    "16 adapters of gpt2-micro",
  ]);
  const { shaders, unchecked, fixtures, yardsticks, latency, products, attention, adapters, gpus } = report;
  assert.equal(report.failures, []);
  assert.ok(isWell(report));
  assert.ok(gpus.some(({ features, limits }) => features.length > 0 && limits.maxBufferSize! > 0));
  assert.ok(shaders.length > 5 && shaders.every(({ error, dispatches }) => error < 1e-4 && dispatches > 0));
  assert.ok(shaders.some(({ shader }) => shader.endsWith(".quantized")));
  assert.ok(unchecked.includes("adamw") && !unchecked.includes(shaders[0]!.shader));
  assert.equal(
    fixtures.map((one) => one.case),
    ["06_cls_lora_all_t1_b1", "37_multi_label_all"],
  );
  assert.ok(yardsticks!.copy > 0 && latency!.readback > 0 && latency!.dispatch >= 0);
  assert.equal([products.length, attention.length], [1, 3]);
  assert.is(adapters[0]!.members, 16);
  const words = inWords(report);
  assert.match(words, /shaders in 1 plan agree with the CPU; largest error \d/);
  assert.match(words, "2 of PyTorch's fixtures, all within tolerance");
  assert.match(words, "16 adapters of gpt2-micro in one plan, 2 messages each");
  const all = listMeasurements(device, device, report, await around);
  assert.not.ok(all.some(({ what }) => what.includes("gpt2-xl")));
});

test("the shaders of a Llama-type model are checked, too", async () => {
  const [device, cpu] = await Promise.all([testDevice("webgpu"), testDevice("wasm 2 threads")]);
  const found = await checkShaders(device, cpu, { model: "smollm2-135m", purpose: "lora", dtype: "f32" });
  assert.equal(
    found.filter(({ isRight }) => !isRight),
    [],
  );
  const names = new Set(found.map(({ shader }) => shader));
  for (const name of ["rmsnorm_forward", "rmsnorm_backward", "rope", "swiglu_forward", "swiglu_backward"])
    assert.ok(names.has(name), name);
});

/** Answers as PyTorch's program does: a card, where it is asked to use one. */
const TORCH = `
  let about;
  lines.on("line", (line) => {
    const first = { version: "9.9", device: JSON.parse(line).gpu ? "a card" : "CPU", blas: "b", threads: 1 };
    console.log(JSON.stringify(about ? { time: 12345, cpu: 1, peak: 2 } : first));
    about = first;
  });`;

test("the CPU has no shaders to compare, and all shapes; PyTorch's step is beside ours", async () => {
  usePython(TORCH);
  const device = await testDevice("wasm 2 threads");
  const some = ["fixture 06_", "a step of gpt2-micro", "generation with gpt2-micro", "PyTorch's step of gpt2-micro"];
  const report = await examine(device, some);
  assert.equal(report.failures, []);
  const words = inWords(report);
  assert.match(words, "12,345");
  assert.match(words, "PyTorch 9.9 on CPU");
  assert.match(words, "the CPU is what shaders are compared with");
  assert.match(words, /│ gpt2-micro │ f32 +│ +\d/);
  const all = listMeasurements(device, device, report, await around).map(({ what }) => what);
  for (const what of [
    "a step of gpt2-small in q4",
    "generation with gpt2-small in f16",
    "PyTorch's step of gpt2-small",
  ])
    assert.ok(all.includes(what), what);
  assert.not.ok(all.some((what) => /shaders|16 adapters/.test(what)));
});

/** A device of whose results one number is wrong, wherever this tensor is read. */
function withFault(device: Backend, name: string, value: number): Backend {
  return {
    info: device.info,
    limits: device.limits,
    async prepare(program) {
      const session = await device.prepare(program);
      const read: typeof session.read = async (tensor, ...rest) => {
        const values = await session.read(tensor, ...rest);
        return tensor.name === name ? values.with(5, value) : values;
      };
      return new Proxy(session, {
        get: (target, key) => {
          if (key === "read") return read;
          const found = target[key as keyof typeof target];
          return typeof found === "function" ? found.bind(target) : found;
        },
      });
    },
    destroy() {},
  };
}

test("a wrong shader is named with the size of its error, and the others are compared all the same", async () => {
  const cpu = await testDevice("wasm 2 threads");
  for (const value of [1e3, Number.NaN]) {
    const found = await checkShaders(withFault(cpu, "block.0", value), cpu, {
      ...{ model: "gpt2-micro", purpose: "lora", dtype: "f32" },
    });
    const wrong = found.filter(({ isRight }) => !isRight);
    assert.is(wrong.length, 1);
    const [{ shader, error, where, found: there, dispatches }] = wrong as [(typeof wrong)[0]];
    assert.match(shader, /^linear_/);
    assert.match(where, /out = block\.0 \[\d+, 128\], element 5$/);
    assert.equal([error > 1, there], [true, value]);
    assert.ok(dispatches > 1 && found.length > 15);
    const report = {
      ...(await newReport(cpu, await around)),
      device: { ...cpu.info, kind: "webgpu" as const },
      shaders: found,
    };
    assert.not.ok(isWell(report));
    assert.match(inWords(report), new RegExp(`│ ${shader} +│ a step of LoRA, gpt2-micro, f32 │`));
  }
});

/** Runs measurements, which note that they have begun. */
async function run(measurements: readonly (readonly [string, Measurement["run"]])[], signal: AbortSignal) {
  const begun: string[] = [];
  const report = await newReport(await testDevice("wasm 2 threads"), await around);
  const list = measurements.map(([what, run]) => ({ what, run }));
  await runMeasurements(report, list, signal, (_, what) => begun.push(what));
  return { report, begun };
}

const never = new AbortController().signal;

test("beside a graphics card PyTorch is asked to use one; a python3 without PyTorch is no failure", async () => {
  usePython(TORCH);
  const card = { kind: "webgpu", name: "a card", software: false } as const;
  const { device, times } = await measureTorch("gpt2-micro", card, never);
  assert.equal([device, times[0]], ["a card", 12345]);
  usePython(`console.error("ModuleNotFoundError: No module named 'torch'"); process.exit(1);`);
  const cpu = await testDevice("wasm 2 threads");
  const report = await newReport(cpu, await around);
  report.steps.push({ model: "gpt2-micro", dtype: "f32", step: {} as ExampleStep });
  const all = listMeasurements(cpu, cpu, report, await around);
  const torch = all.filter(({ what }) => what === "PyTorch's step of gpt2-micro");
  await runMeasurements(report, torch, never, idle);
  assert.equal([torch.length, report.failures, report.steps[0]!.torch], [1, [], undefined]);
});

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
