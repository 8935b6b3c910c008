/** Choosing a device. */
import { checkArguments, checkOptions } from "../arguments.ts";
import { DEVICES, type DeviceName, oneOf } from "../config.ts";
import { DeviceError } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { openWasm } from "./wasm.ts";
import { openWebGPU } from "./webgpu.ts";

export { DEVICES, type DeviceName };

export interface DeviceOptions {
  /** Threads of the device `wasm`; 0 or left out: one a core. */
  threads?: number | undefined;
}

/**
 * Opens a device. `webgpu` is the system's WebGPU adapter, a software driver included; `wasm` computes on the CPU and is
 * always there; `auto` takes a hardware GPU where there is one, else `wasm`. Throws DeviceError, with what to install, where
 * there is none. Release it with `destroy()`.
 */
export async function openDevice(name: DeviceName = "auto", options: DeviceOptions = {}): Promise<Backend> {
  checkArguments({ name }, { name: "text" });
  checkOptions("options", options, { threads: "number?" });
  const { threads = 0 } = options;
  oneOf("device", name, DEVICES);
  if (name === "webgpu") return openWebGPU();
  if (name === "wasm") return openWasm({ threads });
  try {
    const device = await openWebGPU({ hardware: true });
    device.info.why = "a hardware GPU";
    return device;
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    const device = await openWasm({ threads });
    const [summary] = error.message.split("\n");
    device.info.why = [summary, error.details.found].join(": ");
    return device;
  }
}
