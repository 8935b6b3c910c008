/** `--device list`: the devices by the names that the flag takes. */

import { type FoundGPU, listGPUs } from "../backend/adapters.ts";
import { openWasm } from "../backend/wasm.ts";
import { DeviceError } from "../errors.ts";
import { terminalMessage } from "../views/terminal/flag-words.ts";
import { renderTable } from "../views/terminal/render.ts";

interface DeviceRow {
  device: string;
  name: string;
  backend?: string;
  kind: string;
}

/** A table, and below it why there is no GPU. */
export async function deviceList(): Promise<string> {
  const why: string[] = [];
  const gpus = await listGPUs().catch((error): FoundGPU[] => {
    if (!(error instanceof DeviceError)) throw error;
    why.push(`no GPU: ${terminalMessage(error)}`);
    return [];
  });
  const cpu = await openWasm();
  const rows: DeviceRow[] = [
    ...gpus.map(({ name, backend, adapter, isSoftware }, i) => ({
      ...{ device: `webgpu:${i}`, name, backend },
      kind: adapter === null ? "cannot be opened" : isSoftware ? "software driver" : "hardware",
    })),
    { device: "wasm", name: cpu.info.name, kind: "" },
  ];
  cpu.destroy();
  const table = renderTable<DeviceRow>(
    [
      { title: "--device", value: ({ device }) => device },
      { title: "name", value: ({ name }) => name },
      { title: "backend", value: ({ backend }) => backend },
      { title: "", value: ({ kind }) => kind },
    ],
    rows,
  );
  return [table, ...why].join("\n");
}
