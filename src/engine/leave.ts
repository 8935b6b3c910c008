/** Leaves a device that fails, without loading what checks devices: a page on the CPU never needs it. */
import { type Backend, isReplaceable } from "../backend/backend.ts";

/** Leaves a device that has failed, as `leaveDevice` does. Throws the error if the CPU cannot replace the device. */
export async function leave(device: Backend, error: unknown): Promise<void> {
  if (!isReplaceable(device)) throw error;
  const { leaveDevice } = await import("./device-check.ts");
  leaveDevice(device, error);
}
