/** The live bar of a terminal: there is one at most. A process that is killed leaves the terminal as it was. */
import cliProgress from "cli-progress";
import { terminalWidth, textWidth } from "./width.ts";

export type Terminal = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** Columns of the bar, and the fewest where the words need room. */
const WIDEST = 24;
const NARROWEST = 10;
/** Columns that stay free, for the terminal's "^C". */
const FREE = 3;

let live: cliProgress.SingleBar | undefined;

/** Ends the bar, if there is one, and leaves its last state visible: before other words are printed. */
export function endBar(): void {
  live?.stop();
  live = undefined;
}

/** Draws a bar that can be updated; `endBar` ends it. `words` follow it, with two spaces between the parts. */
export function startBar(stream: Terminal, words: (params: cliProgress.Params) => string): cliProgress.SingleBar {
  endBar();
  const format: cliProgress.GenericFormatter = (_, params) => {
    const columns = (terminalWidth(stream) ?? 80) - FREE;
    const parts = words(params).split("  ");
    const width = () => textWidth(parts.join("  ")) + 1;
    // Parts without room are left out, from the end.
    while (parts.length > 1 && width() + NARROWEST > columns) parts.pop();
    const size = Math.max(0, Math.min(WIDEST, columns - width()));
    const full = Math.floor(size * params.progress);
    return `${"█".repeat(full)}${"░".repeat(size - full)} ${parts.join("  ")}`;
  };
  // Hiding the cursor or switching off the wrapping of lines would outlast a process that is killed.
  live = new cliProgress.SingleBar({ stream, format, hideCursor: false, linewrap: true });
  return live;
}
