/**
 * Where models are: the trainings of a device, one after the other, and how a download is reported. `load` has it
 * without what trains.
 */
import type { Device } from "../backend/backend.ts";
import { Turns } from "../infer/turns.ts";
import type { DownloadEvent, DownloadOptions } from "../io/hub/download-options.ts";

/** How far `train`, `load` or `learn` are: plain JSON. */
export interface Progress {
  /** Whether a base model is downloaded, the texts are read by it, or the model learns. */
  phase: "download" | "read" | "train";
  /** Of the phase, from 0 to 1. */
  fraction: number;
  /** Until the phase ends, once it is known. */
  secondsLeft?: number;
  /** Of the last step: what training lowers. */
  loss?: number;
}

/** The options of a download whose progress `onProgress` receives. */
export function downloads({
  onProgress,
  signal,
}: {
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}): DownloadOptions {
  const report = ({ loaded, total }: DownloadEvent) =>
    onProgress?.({ phase: "download", fraction: total > 0 ? loaded / total : 0 });
  return { ...(signal && { signal }), ...(onProgress && { onProgress: report }) };
}

const trainings = new WeakMap<Device, Turns>();

/** Runs a training after those before it on the device: two at once would need the memory of both. */
export function inTurn<T>(device: Device, work: () => Promise<T>): Promise<T> {
  const turns = trainings.get(device) ?? new Turns();
  trainings.set(device, turns);
  return turns.run(work);
}
