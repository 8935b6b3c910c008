/** The report of doctor as blocks. */
import { describeDevice } from "../backend/backend.ts";
import { type Block, details, heading, makeTable, note, text } from "../document/blocks.ts";
import { nameList } from "../errors.ts";
import { digits, formatCount } from "../format.ts";
import { formatBytes } from "../plan/memory.ts";
import { type CheckedShader, type DoctorReport, planTitle } from "./doctor.ts";
import { kernelColumns } from "./step-profile.ts";
import { describeYardsticks } from "./yardsticks.ts";

const exponential = (error: number) => error.toExponential(1);

function figure(value: number): string {
  if (value >= 100) return formatCount(Math.round(value));
  return value < 1 ? value.toFixed(2) : value.toPrecision(3);
}

/** What was found, without what the device is. */
export function findingBlocks(report: DoctorReport): Block[] {
  const { device, shaders, state, seconds, leftOut, failures } = report;
  return [
    heading("Is it right?"),
    ...(device.kind === "wasm" ? [text("the CPU is what shaders are compared with")] : shaderBlocks(shaders)),
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
      ? [text(`largest buffer ${formatBytes(limits.maxBuffer)}, largest binding ${formatBytes(limits.maxBinding)}`)]
      : []),
    ...(noGPU ? [note(`no GPU: ${noGPU}`)] : []),
  ];
}

/** How many shaders agree with the CPU, and those that do not. */
function shaderBlocks(shaders: readonly CheckedShader[]): Block[] {
  const [largest] = [...shaders].sort((a, b) => b.error - a.error);
  if (!largest) return [];
  const wrong = shaders.filter(({ isRight }) => !isRight);
  const plans = new Set(shaders.map(planTitle)).size;
  const names = new Set(shaders.map(({ shader }) => shader)).size;
  const words =
    `${names} shaders in ${plans === 1 ? "1 plan" : `${plans} plans`} ${wrong.length === 0 ? "agree" : "were compared"} ` +
    `with the CPU; largest error ${exponential(largest.error)} (${largest.shader}; ${planTitle(largest)})`;
  const table = makeTable<CheckedShader>(
    "wrong-shaders",
    "Shaders that compute wrongly",
    [
      { title: "Shader", value: ({ shader }) => shader },
      { title: "Plan", value: planTitle },
      { title: "Error", format: exponential, value: ({ error }) => error },
      { title: "Where", value: ({ where }) => where },
      { title: "CPU", value: ({ expected }) => String(expected) },
      { title: "Device", value: ({ found }) => String(found) },
    ],
    wrong,
  );
  return [text(words), ...(wrong.length > 0 ? [table] : [])];
}

function howFast({ yardsticks, latency, steps, generation }: DoctorReport): Block[] {
  const largest = steps.findLast(({ dtype, step }) => dtype === "f32" && step.profile.kernels.length > 0);
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
    ...(generation.length > 0 ? [generationTable(generation)] : []),
    ...(largest
      ? [
          details(`The kernels of a step of ${largest.model}`, [
            makeTable("kernels", "Kernels", kernelColumns(yardsticks !== null), largest.step.profile.kernels),
          ]),
        ]
      : []),
  ];
}

function stepTable(steps: DoctorReport["steps"]): Block {
  return makeTable<(typeof steps)[number]>(
    "steps",
    `A step of LoRA, ${steps[0]!.step.tokens} tokens`,
    [
      { title: "Model", value: ({ model }) => model },
      { title: "Weights", value: ({ dtype }) => dtype },
      { title: "ms", format: figure, value: ({ step }) => step.ms.median },
      { title: "Tokens/s", format: figure, value: ({ step }) => step.tokensPerSecond },
      { title: "Dispatches", value: ({ step }) => step.profile.dispatches },
      { title: "One of many, ms", format: figure, value: ({ step }) => step.profile.ms.median },
      { title: "Memory", value: ({ step }) => formatBytes(step.planned) },
    ],
    steps,
  );
}

function generationTable(rows: DoctorReport["generation"]): Block {
  return makeTable<(typeof rows)[number]>(
    "generation",
    "Generation from a prompt of 32 tokens",
    [
      { title: "Model", value: ({ model }) => model },
      { title: "Weights", value: ({ dtype }) => dtype },
      { title: "First token, ms", format: figure, value: ({ first }) => first },
      { title: "Then tokens/s", format: digits(1), value: ({ tokensPerSecond }) => tokensPerSecond },
      { title: "Memory", value: ({ planned }) => formatBytes(planned) },
    ],
    rows,
  );
}
