import { DeviceError } from "../core/errors.ts";

export interface WorkerHandle {
  post(message: unknown): void;
  /** Whether the worker keeps the process alive. */
  keepAlive(busy: boolean): void;
  terminate(): void;
}

/** The browser did not load or start the worker: the page forbids it, or the file is missing; it does not say which. */
export class NotStarted extends Error {}

/** The error of a device whose worker has failed. */
export const workerError = (cause: Error) =>
  new DeviceError("device-failed", "a worker failed", { found: cause.message, cause });
