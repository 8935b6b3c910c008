/** doctor: what the device is, whether it computes rightly, and how fast it is. */
import { exists, readBytes, writeFileAtomic } from "#platform";
import { openBackend } from "../backend/device.ts";
import { asJson, isWell, listSteps, newReport, runSteps } from "../bench/doctor.ts";
import { deviceBlocks, findingBlocks } from "../bench/doctor-blocks.ts";
import { describeMachine, machine } from "../bench/machine.ts";
import { checkNumber } from "../core/checks.ts";
import { ConfigError } from "../core/errors.ts";
import type { Block } from "../document/blocks.ts";
import { LIMITS, parseJson } from "../io/limits.ts";
import { refuseUncreatable } from "../io/marker.ts";
import { createProgress } from "../views/terminal/progress.ts";
import { renderBlocks } from "../views/terminal/render.ts";
import { terminalWidth } from "../views/terminal/width.ts";
import { command, type DeviceFlags, deviceFlag, Interruption, main, number, print, threadsFlag } from "./cli.ts";

const program = command(
  "doctor",
  "Says in three minutes what the device is, whether every shader is right on it, and how fast it is: a page of text, and a JSON file to send. A software driver is examined with one model.\n" +
    "The exit code is 1 if something is wrong, and 130 after Ctrl-C, which keeps what was found so far.",
  ["", "--device webgpu", "--device wasm --out cpu.json"],
)
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--out <file>", "the JSON file; an earlier report of doctor is replaced", "lowrank-doctor.json")
  .option("--seconds <n>", "time limit: what is not examined by then is left out", number, 180)
  .allowExcessArguments(false);

interface DoctorFlags extends DeviceFlags {
  out: string;
  seconds: number;
}

/** Throws ConfigError unless the file can be written without replacing anything but an earlier report. */
async function checkOutput(path: string): Promise<void> {
  if (!(await exists(path))) return refuseUncreatable(path, "the report");
  const isReport = await readBytes(path, LIMITS.json)
    .then((bytes) => (parseJson(bytes, path, "") as { kind?: unknown }).kind === "lowrank-doctor")
    .catch(() => false);
  if (!isReport)
    throw new ConfigError("output-exists", "the file exists and is not a report of doctor", {
      where: path,
      hint: "choose another --out",
    });
}

await main(async () => {
  program.parse();
  const { device: name, threads = 0, out, seconds } = program.opts<DoctorFlags>();
  checkNumber("--seconds", seconds, { min: 1 });
  await checkOutput(out);
  const started = performance.now();
  const device = await openBackend(name, { threads });
  const cpu = device.info.kind === "wasm" ? device : await openBackend("wasm", { threads });
  const interruption = new Interruption("stopping; what was found so far is kept");
  const stop = new AbortController();
  interruption.signal.addEventListener("abort", () => stop.abort());
  const timer = setTimeout(() => stop.abort(), 1000 * seconds);
  const show = (blocks: readonly Block[]) => print(renderBlocks(blocks, terminalWidth(process.stdout)));
  try {
    const report = await newReport(device, { ...machine() });
    const steps = listSteps(device, cpu, report);
    interruption.begin();
    show(deviceBlocks(report, describeMachine(machine())));
    const progress = createProgress({ total: steps.length, unit: "step", stream: process.stderr });
    await runSteps(report, steps, stop.signal, (done, what) => progress.update(done, what)).finally(() => {
      progress.stop();
      interruption.end();
    });
    if (stop.signal.aborted) report.state = interruption.signal.aborted ? "interrupted" : "out of time";
    report.seconds = (performance.now() - started) / 1000;
    // Saved before it is printed: printing may fail.
    await writeFileAtomic(out, `${asJson(report)}\n`);
    show(findingBlocks(report));
    print(`all figures: ${out}`);
    if (interruption.signal.aborted) return 130;
    return isWell(report) ? 0 : 1;
  } finally {
    clearTimeout(timer);
    device.destroy();
    if (cpu !== device) cpu.destroy();
  }
});
