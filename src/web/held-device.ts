/** The one device that is open in the worker: shared by all that ask for it, and a run's own while that goes on. */
import type { Backend } from "../backend/backend.ts";
import type { DeviceName } from "../config.ts";
import { openDevice } from "../device.ts";

export class HeldDevice {
  private open: { name: DeviceName; opening: Promise<Backend> } | undefined;
  /** Whether a run has it, from the moment it asks. */
  taken = false;

  /** `beforeClose` lets go of what lives on the device. */
  constructor(private readonly beforeClose: () => void) {}

  /** The device of this name; where a run has another one, that one. */
  use(name: DeviceName): Promise<Backend> {
    if (this.open && (this.open.name === name || this.taken)) return this.open.opening;
    this.close();
    const opening = openDevice(name);
    this.open = { name, opening };
    opening.catch(() => {
      if (this.open?.opening === opening) this.open = undefined;
    });
    return opening;
  }

  /** The open device, whichever it is; that of this name where none is. */
  any(name: DeviceName): Promise<Backend> {
    return this.open?.opening ?? this.use(name);
  }

  /** The device of this name for a run, until `release`. */
  take(name: DeviceName): Promise<Backend> {
    const opening = this.use(name);
    this.taken = true;
    return opening;
  }

  /** The run has ended; a device that failed once fails from then on, and is closed. */
  release(failed: boolean): void {
    this.taken = false;
    if (failed) this.close();
  }

  private close(): void {
    this.beforeClose();
    this.open?.opening.then(
      (backend) => backend.destroy(),
      () => {},
    );
    this.open = undefined;
  }
}
