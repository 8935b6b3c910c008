/** The device of models that were given none. */
import { isText } from "../core/checks.ts";
import type { Device } from "./backend.ts";
import { type DeviceName, openDevice } from "./device.ts";

/** A device of models that were given none, and how many of them have it. */
interface Shared {
  device: Promise<Device>;
  users: number;
}

const shared = new Map<DeviceName, Shared>();

/** A device for a model, which it gives back when it is destroyed. */
export interface Lease {
  device: Device;
  giveBack(): void;
}

/**
 * The device that is given; by name, or without one, that of all models, opened for the first of them and destroyed
 * with the last.
 */
export async function leaseDevice(given: Device | DeviceName = "auto"): Promise<Lease> {
  if (!isText(given)) return { device: given, giveBack() {} };
  const one = shared.get(given) ?? { device: openDevice(given), users: 0 };
  shared.set(given, one);
  one.users++;
  let hasIt = true;
  const giveBack = () => {
    if (hasIt) one.users--;
    hasIt = false;
    if (one.users > 0 || shared.get(given) !== one) return;
    shared.delete(given);
    one.device.then(
      (device) => device.destroy(),
      () => {},
    );
  };
  try {
    return { device: await one.device, giveBack };
  } catch (error) {
    giveBack();
    throw error;
  }
}
