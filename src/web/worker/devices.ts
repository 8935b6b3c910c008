/**
 * The worker's open devices, by requested name. A device stays open, because a run, a classification and an estimate
 * may each be using theirs.
 */
import type { Backend } from "../../backend/backend.ts";
import type { DeviceName } from "../../backend/device.ts";
import { openBackend } from "../../backend/device.ts";

const open = new Map<DeviceName, Promise<Backend>>();

export function pageDevice(name: DeviceName): Promise<Backend> {
  const known = open.get(name);
  if (known) return known;
  const opening = find(name);
  open.set(name, opening);
  opening.catch(() => open.delete(name));
  return opening;
}

/** Opens a device, or returns the CPU if `auto` opened it. A GPU requested by name is not replaced by a faster CPU. */
async function find(name: DeviceName): Promise<Backend> {
  const found = name === "wasm" ? await open.get("auto")?.catch(() => undefined) : undefined;
  return found?.info.kind === name ? found : openBackend(name);
}

/** Closes a device that has failed, so that the next call opens a new one. */
export async function dropDevice(failed: Backend): Promise<void> {
  for (const [name, opening] of [...open]) if ((await opening.catch(() => undefined)) === failed) open.delete(name);
  failed.destroy();
}
