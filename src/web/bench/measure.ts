/** Measures WebGPU and the CPU of this browser as doctor measures a machine. */
import { availableMemory, requestGPU } from "#platform";
import type { Backend } from "../../backend/backend.ts";
import { openBackend } from "../../backend/device.ts";
import { requestAdapter } from "../../backend/webgpu.ts";
import { type DoctorReport, listMeasurements, newReport, runMeasurements } from "../../bench/doctor.ts";
import { DeviceError } from "../../errors.ts";

/** What is told during the measurements. */
interface Listener {
  onWork: (text: string) => void;
  onReports: (reports: readonly DoctorReport[]) => void;
  onError: (error: DeviceError) => void;
}

export const TITLES = { webgpu: "WebGPU", wasm: "CPU" };

async function describeBrowser(): Promise<DoctorReport["machine"]> {
  const adapter = await requestGPU()
    .then(requestAdapter)
    .catch(() => null);
  const { vendor = "", architecture = "", device = "", description = "" } = adapter?.info ?? {};
  return {
    ...{ userAgent: navigator.userAgent, cores: navigator.hardwareConcurrency, isolated: crossOriginIsolated },
    ...(adapter ? { vendor, architecture, device, description } : {}),
  };
}

/** Measures each device for `seconds` at most. */
export async function measure(seconds: number, { onWork, onReports, onError }: Listener): Promise<DoctorReport[]> {
  const machine = await describeBrowser();
  const reports: DoctorReport[] = [];
  const cpu = await openBackend("wasm");
  try {
    for (const kind of ["webgpu", "wasm"] as const) {
      const device = await (kind === "wasm" ? Promise.resolve(cpu) : openBackend(kind)).catch((error: unknown) => {
        // A browser without WebGPU: the CPU is measured all the same.
        if (!(error instanceof DeviceError)) throw error;
        onError(error);
        return null;
      });
      if (device) await measureDevice(device);
    }
  } finally {
    cpu.destroy();
  }
  return reports;

  async function measureDevice(device: Backend): Promise<void> {
    const report = await newReport(device, machine);
    reports.push(report);
    const all = listMeasurements(device, cpu, report);
    // A phone's tab has no room for GPT-2 XL.
    const some = availableMemory() === undefined ? all : all.filter(({ what }) => !what.includes("gpt2-xl"));
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 1000 * seconds);
    const started = performance.now();
    const take = () => {
      report.seconds = (performance.now() - started) / 1000;
      onReports([...reports]);
    };
    await runMeasurements(report, some, stop.signal, (done, what) => {
      take();
      onWork(`${TITLES[device.info.kind]}: ${what} (${done + 1} of ${some.length})`);
    });
    clearTimeout(timer);
    if (stop.signal.aborted) report.state = "out of time";
    take();
    if (device !== cpu) device.destroy();
  }
}
