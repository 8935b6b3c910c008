/** Measures WebGPU and the CPU of this browser as doctor measures a machine. */
import { availableMemory, requestGPU } from "#platform";
import type { Backend } from "../../backend/backend.ts";
import { openDevice } from "../../backend/device.ts";
import { requestAdapter } from "../../backend/webgpu.ts";
import { TITLES } from "../../bench/blocks.ts";
import {
  type DoctorReport,
  listMeasurements,
  newReport,
  runMeasurements,
  type Surroundings,
} from "../../bench/doctor.ts";
import { DeviceError } from "../../errors.ts";
import { blobReader } from "../../platform/reader.ts";

/** What is told during the measurements. */
interface Listener {
  onWork: (text: string) => void;
  onReports: (reports: readonly DoctorReport[]) => void;
  onError: (error: DeviceError) => void;
}

/** Where the build puts PyTorch's fixtures, beside a list of their names. */
const GOLDEN = "dist/bench/golden/";

/** What the browser reports about itself and the adapter. */
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

/** A server that serves the package has no fixtures. */
async function findFixtures(): Promise<Surroundings["fixtures"]> {
  const fetchFile = async (name: string) => {
    const response = await fetch(new URL(GOLDEN + name, document.baseURI));
    if (!response.ok) throw new DeviceError("device-failed", `${name}: the server answers ${response.status}`);
    return response;
  };
  const names: string[] = await fetchFile("files.json").then(
    (response) => response.json(),
    () => [],
  );
  return names.map((name) => ({ name, open: async () => blobReader(name, await (await fetchFile(name)).blob()) }));
}

/** Measures each device for `seconds` at most. */
export async function measure(seconds: number, { onWork, onReports, onError }: Listener): Promise<DoctorReport[]> {
  const surroundings: Surroundings = { machine: await describeBrowser(), fixtures: await findFixtures() };
  const reports: DoctorReport[] = [];
  const cpu = await openDevice("wasm");
  try {
    for (const kind of ["webgpu", "wasm"] as const) {
      const device = await (kind === "wasm" ? Promise.resolve(cpu) : openDevice(kind)).catch((error: unknown) => {
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
    const report = await newReport(device, surroundings);
    reports.push(report);
    const all = listMeasurements(device, cpu, report, surroundings);
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
