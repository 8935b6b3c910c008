/** The device of models that were given none, and the trainings of a device, one after the other. */
import type { Device } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { openDevice } from "../backend/device.ts";
import { isText } from "../checks.ts";
import { Turns } from "../infer/turns.ts";

const shared = new Map<DeviceName, Promise<Device>>();

/** The device that is given; by name, or without one, that of all models, opened for the first. */
export async function chooseDevice(given: Device | DeviceName = "auto"): Promise<Device> {
  if (!isText(given)) return given;
  const device = shared.get(given) ?? openDevice(given);
  shared.set(given, device);
  device.catch(() => shared.delete(given));
  return device;
}

const trainings = new WeakMap<Device, Turns>();

/** Runs a training after those before it on the device: two at once would need the memory of both. */
export function inTurn<T>(device: Device, work: () => Promise<T>): Promise<T> {
  const turns = trainings.get(device) ?? new Turns();
  trainings.set(device, turns);
  return turns.run(work);
}
