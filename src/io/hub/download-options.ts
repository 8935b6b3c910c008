/** The options of functions that may download. Separate from the download's code, which is loaded on demand. */
import type { FieldKind } from "../../core/checks.ts";
import type { FetchOptions } from "../../platform/http.ts";

/** Progress of a download, with the status values of transformers.js. */
export interface DownloadEvent {
  status: "initiate" | "download" | "progress" | "done";
  /** The model or data set. */
  name: string;
  file: string;
  /** Bytes received. */
  loaded: number;
  /** Bytes of the whole file. */
  total: number;
}

/** Options of everything that may download. */
export interface DownloadOptions extends FetchOptions {
  /** Called with the progress of each file. */
  onProgress?: (event: DownloadEvent) => void;
}

export const DOWNLOAD_OPTIONS = {
  signal: "signal?",
  retryDelay: "number?",
  patience: "number?",
  onProgress: "function?",
} as const satisfies Record<keyof DownloadOptions, FieldKind>;
