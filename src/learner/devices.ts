/** The device of models that were given none, and the trainings of a device, one after the other. */
import type { Device } from "../backend/backend.ts";
import { openDevice } from "../backend/device.ts";
import type { DeviceName } from "../backend/device-name.ts";
import { isText } from "../checks.ts";
import { Turns } from "../infer/turns.ts";

let shared: Promise<Device> | undefined;

/** The device that is given; by name a new one; without one that of all models without one, opened for the first. */
export async function chooseDevice(given: Device | DeviceName | undefined): Promise<Device> {
  if (isText(given)) return openDevice(given);
  if (given !== undefined) return given;
  shared ??= openDevice();
  return shared.catch((error) => {
    shared = undefined;
    throw error;
  });
}

const trainings = new WeakMap<Device, Turns>();

/** Runs a training after those before it on the device: two at once would need the memory of both. */
export function inTurn<T>(device: Device, work: () => Promise<T>): Promise<T> {
  const turns = trainings.get(device) ?? new Turns();
  trainings.set(device, turns);
  return turns.run(work);
}
