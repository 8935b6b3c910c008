/** The GPUs of a machine, to print. */
import { listAdapters, requestGPU } from "#platform";
import { adapterName, isSoftware, requestAdapter } from "./webgpu.ts";

export interface FoundGPU {
  name: string;
  backend: string;
  /** Its features and limits; null if it cannot be opened. */
  adapter: GPUAdapter | null;
  isSoftware: boolean;
}

/** The GPUs by their indices. Throws DeviceError, with the reason, if there is none. */
export async function listGPUs(): Promise<FoundGPU[]> {
  const listed = await listAdapters();
  if (listed.length === 0) {
    const adapter = await requestAdapter(await requestGPU());
    return [{ name: adapterName(adapter.info), backend: "webgpu", adapter, isSoftware: isSoftware(adapter.info) }];
  }
  const gpus: FoundGPU[] = [];
  for (const [i, { name, backend, isHidden }] of listed.entries()) {
    const adapter = isHidden ? null : await requestAdapter(await requestGPU(`${i}`)).catch(() => null);
    gpus.push({ name, backend, adapter, isSoftware: adapter !== null && isSoftware(adapter.info) });
  }
  return gpus;
}
