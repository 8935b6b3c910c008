/**
 * The devices of the worker, by the names they were asked for. One that is open stays: a run, a message that is typed and a
 * look at other settings may each be at work on theirs.
 */
import type { Backend } from "../../backend/backend.ts";
import { openDevice } from "../../backend/device.ts";
import type { DeviceName } from "../../config.ts";

const open = new Map<DeviceName, Promise<Backend>>();

export function deviceOf(name: DeviceName): Promise<Backend> {
  const known = open.get(name);
  if (known) return known;
  const opening = find(name);
  open.set(name, opening);
  opening.catch(() => open.delete(name));
  return opening;
}

/** What `auto` has found serves its own name as well. */
async function find(name: DeviceName): Promise<Backend> {
  const found = await open.get("auto")?.catch(() => undefined);
  return found?.info.kind === name ? found : openDevice(name);
}

/** Closes a device that has failed: it would fail from then on. */
export async function dropDevice(failed: Backend): Promise<void> {
  for (const [name, opening] of [...open]) if ((await opening.catch(() => undefined)) === failed) open.delete(name);
  failed.destroy();
}
