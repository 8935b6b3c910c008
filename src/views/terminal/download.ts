/** Download progress: a live bar on a terminal, otherwise a line per 10 %. */

import { formatDuration } from "../../core/format.ts";
import type { DownloadEvent } from "../../io/hub/download-options.ts";
import { endBar, startBar, type Terminal } from "./live-bar.ts";
import { oneLine } from "./text.ts";

/** Maximum width of a name, in columns. */
const LONGEST_NAME = 60;
/** Smaller files have no bar and a single line. */
const SMALL_BYTES = 2 << 20;
/** Lines per file without a terminal. */
const LINES = 10;

/** Returns an event handler that shows downloads, one file at a time. */
export function downloadProgress(stream: Terminal): (event: DownloadEvent) => void {
  return stream.isTTY === true ? liveBars(stream) : plainLines(stream);
}

function liveBars(stream: Terminal): (event: DownloadEvent) => void {
  let bar: ReturnType<typeof startBar> | undefined;
  return ({ status, name, file, loaded, total }) => {
    if (status === "download" && !bar && isShown(total)) {
      const label = downloadLabel(name, file, total);
      bar = startBar(stream, ({ progress, eta }) =>
        [
          `${Math.floor(100 * progress)} %`,
          label,
          ...(Number.isFinite(eta) ? [`${formatDuration(eta)} left`] : []),
        ].join("  "),
      );
      bar.start(total, loaded);
    }
    if (status === "progress") bar?.update(loaded);
    if (status === "done") {
      endBar();
      bar = undefined;
    }
  };
}

function plainLines(stream: NodeJS.WritableStream): (event: DownloadEvent) => void {
  let printed = 0;
  return ({ status, name, file, loaded, total }) => {
    if (status === "initiate") printed = 0;
    if (status === "download" && printed === 0)
      stream.write(
        `downloading ${downloadLabel(name, file, total)}${loaded > 0 ? `, resuming at ${megabytes(loaded)}` : ""}\n`,
      );
    const part = isShown(total) ? Math.floor((loaded / total) * LINES) : 0;
    if (part <= printed) return;
    printed = part;
    stream.write(`  ${part * (100 / LINES)} %  ${megabytes(loaded)}\n`);
  };
}

function isShown(total: number): boolean {
  return total >= SMALL_BYTES;
}

function downloadLabel(name: string, file: string, total: number): string {
  return `${oneLine(name, LONGEST_NAME)} ${oneLine(file, LONGEST_NAME)}, ${megabytes(total)}`;
}

function megabytes(bytes: number): string {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
