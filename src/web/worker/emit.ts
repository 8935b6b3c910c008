/** The worker's events, and what it says while it opens something. */
import type { DownloadEvent, DownloadOptions } from "../../io/hub/download-options.ts";
import type { Event } from "../protocol.ts";

export const emit = (event: Event): void => self.postMessage(event);

/** Milliseconds before the page says that something is being opened. */
const PATIENCE = 300;

/** Opens something, and downloads it first if necessary. */
export async function fetched<T>(name: string, open: (downloads: DownloadOptions) => Promise<T>): Promise<T> {
  let said = false;
  const say = (text: string, share: number | null = null) => {
    said = true;
    emit({ type: "busy", text, share });
  };
  const timer = setTimeout(() => say(`Opening ${name} …`), PATIENCE);
  const onProgress = ({ status, name, file, loaded, total }: DownloadEvent) => {
    if (status !== "done") say(`Downloading ${name}: ${file}`, total ? loaded / total : null);
  };
  try {
    return await open({ onProgress });
  } finally {
    clearTimeout(timer);
    if (said) emit({ type: "idle" });
  }
}
