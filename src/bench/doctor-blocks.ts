/** The report of doctor as blocks. */
import { describeDevice } from "../backend/backend.ts";
import { nameList } from "../core/errors.ts";
import { digits } from "../core/format.ts";
import { type Block, heading, makeTable, note, text } from "../document/blocks.ts";
import { formatBytes } from "../plan/memory.ts";
import { type CheckedShader, caseTitle, type DoctorReport, type Examined } from "./doctor.ts";
import { describeYardsticks } from "./yardsticks.ts";

const exponential = (error: number) => error.toExponential(1);
const ms = (value: number | null) => value?.toPrecision(3) ?? "";

/** `about`: the machine in words. */
export function deviceBlocks({ device, limits, gpus, noGPU }: DoctorReport, about: string): Block[] {
  return [
    heading("The device"),
    text(about),
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

/** What was found, without what the device is. */
export function findingBlocks(report: DoctorReport): Block[] {
  const { yardsticks, latency, examined, state, seconds, leftOut, failures } = report;
  return [
    heading("Is it right, and how fast?"),
    ...(examined.length > 0 ? [examinedTable(report), ...wrongShaders(examined)] : []),
    ...(yardsticks ? [text(describeYardsticks(yardsticks))] : []),
    ...(latency
      ? [text(`a dispatch: ${ms(latency.dispatch)} us; a submission and its readback: ${ms(latency.readback)} ms`)]
      : []),
    ...failures.map(({ what, message }) => note(`${what} failed: ${message}`)),
    ...(leftOut.length > 0 ? [note(`${state}; not examined: ${nameList(leftOut)}`)] : []),
    text(`${state} after ${seconds.toFixed(0)} s`),
  ];
}

function examinedTable({ device, examined }: DoctorReport): Block {
  const isGPU = device.kind === "webgpu";
  return makeTable<Examined>(
    "examined",
    `${isGPU ? "Every shader compared with the CPU, and the" : "The"} time of three blocks`,
    [
      { title: "Work", value: ({ work }) => work },
      { title: "Model", value: ({ model }) => model },
      { title: "Weights", value: ({ dtype }) => dtype },
      ...(isGPU
        ? [
            { title: "Shaders", value: ({ shaders }: Examined) => shaders.length },
            { title: "Wrong", value: ({ shaders }: Examined) => shaders.filter(({ isRight }) => !isRight).length },
            {
              title: "Largest error",
              format: exponential,
              value: ({ shaders }: Examined) => Math.max(...shaders.map(({ error }) => error)),
            },
          ]
        : []),
      { title: "ms", format: ms, value: ({ ms }) => ms },
      ...(isGPU ? [{ title: "CPU, ms", format: digits(1), value: ({ cpu }: Examined) => cpu }] : []),
    ],
    examined,
  );
}

function wrongShaders(examined: readonly Examined[]): Block[] {
  const wrong = examined.flatMap((one) =>
    one.shaders.filter(({ isRight }) => !isRight).map((shader) => ({ ...shader, title: caseTitle(one) })),
  );
  const table = makeTable<CheckedShader & { title: string }>(
    "wrong-shaders",
    "Shaders that compute wrongly",
    [
      { title: "Shader", value: ({ shader }) => shader },
      { title: "Work", value: ({ title }) => title },
      { title: "Error", format: exponential, value: ({ error }) => error },
      { title: "Where", value: ({ where }) => where },
      { title: "CPU", value: ({ expected }) => String(expected) },
      { title: "Device", value: ({ found }) => String(found) },
    ],
    wrong,
  );
  return wrong.length > 0 ? [table] : [];
}
