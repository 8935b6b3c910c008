/** The report of doctor as blocks. */
import { describeDevice } from "../backend/backend.ts";
import { nameList } from "../errors.ts";
import { digits } from "../format.ts";
import { showBytes } from "../plan/memory.ts";
import { passes } from "../verify/golden.ts";
import { type Block, makeTable, type RowColumn } from "../views/blocks.ts";
import { attentionTable, figure, kernelTable, productTable, shaderBlocks } from "./blocks.ts";
import type { DoctorReport, Fixture } from "./doctor.ts";
import { measureSpread } from "./spread.ts";
import { describeYardsticks } from "./yardsticks.ts";

const text = (text: string): Block => ({ kind: "text", text });
const note = (text: string): Block => ({ kind: "note", text });
const heading = (text: string): Block => ({ kind: "heading", level: 2, text });

/** What was found, without what the device is. */
export function findingBlocks(report: DoctorReport): Block[] {
  const { state, seconds, leftOut, failures } = report;
  return [
    ...isItRight(report),
    ...howFast(report),
    ...failures.map(({ what, message }) => note(`${what} failed: ${message}`)),
    ...(leftOut.length > 0 ? [note(`${state}; not measured: ${nameList(leftOut)}`)] : []),
    text(`${state} after ${seconds.toFixed(0)} s`),
  ];
}

/** `about`: the machine in words. */
export function deviceBlocks({ device, limits, gpus, noGPU }: DoctorReport, about?: string): Block[] {
  return [
    ...(about === undefined ? [] : [heading("The device"), text(about)]),
    text(describeDevice(device)),
    ...gpus.map(({ name, backend, software, features }, i) =>
      text(
        `webgpu:${i}: ${name} (${backend}, ${software ? "software driver" : "hardware"}), ${features.length} features` +
          `${features.includes("shader-f16") ? " with" : " without"} shader-f16` +
          `${features.includes("subgroups") ? " and" : ", without"} subgroups`,
      ),
    ),
    ...(device.kind === "webgpu"
      ? [text(`largest buffer ${showBytes(limits.maxBuffer)}, largest binding ${showBytes(limits.maxBinding)}`)]
      : []),
    ...(noGPU ? [note(`no GPU: ${noGPU}`)] : []),
  ];
}

function isItRight({ shaders, unchecked, fixtures, leftOut, device }: DoctorReport): Block[] {
  const failed = fixtures.filter(({ worst }) => !passes(worst));
  const compared = `${fixtures.length} of PyTorch's fixtures, ${failed.length === 0 ? "all within tolerance" : `${failed.length} beyond their tolerance`}`;
  const missing = leftOut.some((what) => what.startsWith("fixture "))
    ? "PyTorch's fixtures were not compared in time"
    : "PyTorch's fixtures were not compared: they are in a clone of the repository, not in the package";
  return [
    heading("Is it right?"),
    ...(device.kind === "wasm" ? [text("the CPU is what shaders are compared with")] : shaderBlocks(shaders)),
    ...(shaders.length > 0 ? [text(`${unchecked.length} other shaders are in none of these plans`)] : []),
    text(fixtures.length === 0 ? missing : compared),
    ...(failed.length > 0 ? [failedFixtures(failed)] : []),
  ];
}

const exponential = (error: number) => error.toExponential(1);

function failedFixtures(failed: readonly Fixture[]): Block {
  return makeTable<Fixture>(
    "failed-fixtures",
    "Fixtures beyond their tolerance",
    [
      { title: "Fixture", value: (one) => one.case },
      { title: "Tensor", value: ({ worst }) => worst.name },
      { title: "Error", format: exponential, value: ({ worst }) => worst.error },
      { title: "Tolerance", format: exponential, value: ({ worst }) => worst.tolerance },
    ],
    failed,
  );
}

function howFast(report: DoctorReport): Block[] {
  const { yardsticks, latency, products, attention, steps, generation, adapters, peak } = report;
  const largest = steps.findLast(({ dtype, step }) => dtype === "f32" && step.profile.kernels.length > 0);
  const peer = steps.find(({ torch }) => torch)?.torch;
  return [
    heading("How fast is it?"),
    ...(yardsticks ? [text(describeYardsticks(yardsticks))] : []),
    ...(latency
      ? [
          text(
            `a dispatch: ${figure(latency.dispatch)} us; a submission and its readback: ${figure(latency.readback)} ms`,
          ),
        ]
      : []),
    ...(steps.length > 0 ? [stepTable(steps)] : []),
    ...(peer ? [text(`PyTorch ${peer.version} on ${peer.device}, rows padded to 120 tokens`)] : []),
    ...(generation.length > 0 ? [generationTable(generation)] : []),
    ...adapters.map(({ model, members, messages, together, alone }) =>
      text(
        `${members} adapters of ${model} in one plan, ${messages} messages each: ${figure(together.median)} ms a step; ` +
          `one after the other: ${figure(members * alone.median)} ms`,
      ),
    ),
    ...(products.length > 0 ? [productTable([report])] : []),
    ...(attention.length > 0 ? [attentionTable([report])] : []),
    ...(largest ? [kernels(largest)] : []),
    ...(peak > 0 ? [text(`${showBytes(peak)} peak resident set size of this process`)] : []),
  ];
}

type StepRow = DoctorReport["steps"][number];

function kernels({ model, step }: StepRow): Block {
  return { kind: "details", title: `The kernels of a step of ${model}`, blocks: [kernelTable(step.profile.kernels)] };
}

function stepTable(steps: readonly StepRow[]): Block {
  const torch: RowColumn<StepRow> = {
    title: "PyTorch, ms",
    format: figure,
    value: (row) => row.torch && measureSpread(row.torch.times).median,
  };
  return makeTable<StepRow>(
    "steps",
    `A step of LoRA, ${steps[0]!.step.tokens} tokens`,
    [
      { title: "Model", value: ({ model }) => model },
      { title: "Weights", value: ({ dtype }) => dtype },
      { title: "ms", format: figure, value: ({ step }) => step.ms.median },
      { title: "Tokens/s", format: figure, value: ({ step }) => step.tokensPerSecond },
      { title: "Dispatches", value: ({ step }) => step.profile.dispatches },
      { title: "One of many, ms", format: figure, value: ({ step }) => step.profile.ms.median },
      { title: "Memory", value: ({ step }) => showBytes(step.planned) },
      ...(steps.some((row) => row.torch) ? [torch] : []),
    ],
    steps,
  );
}

type GenerationRow = DoctorReport["generation"][number];

function generationTable(rows: readonly GenerationRow[]): Block {
  return makeTable<GenerationRow>(
    "generation",
    "Generation from a prompt of 32 tokens",
    [
      { title: "Model", value: ({ model }) => model },
      { title: "Weights", value: ({ dtype }) => dtype },
      { title: "First token, ms", format: figure, value: ({ first }) => first },
      { title: "Then tokens/s", format: digits(1), value: ({ tokensPerSecond }) => tokensPerSecond },
      { title: "Memory", value: ({ planned }) => showBytes(planned) },
    ],
    rows,
  );
}
