/** The page's worker, and what it says of itself. */
import { signal } from "@preact/signals";
import { percent } from "../../../core/format.ts";
import type { ErrorReport } from "../../protocol.ts";
import { failureReport, openClient } from "./client.ts";

export const worker = openClient();

/** The file that the worker is opening or downloading; empty: none. */
export const busy = signal("");

worker.listen((event) => {
  if (event.type === "busy")
    busy.value = event.share === null ? event.text : `${event.text}, ${percent(event.share, 0)}`;
  if (event.type === "idle" || event.type === "ended") busy.value = "";
});

/** Shows the error of an action where `error` is shown, which a success clears. */
export function attempt(work: Promise<unknown>, error: { value: ErrorReport | null }): void {
  work.then(
    () => {
      error.value = null;
    },
    (reason) => {
      error.value = failureReport(reason);
    },
  );
}
