/** Shows errors in place: summary, details, hint, and buttons that fix them. */
import { showBytes } from "../../plan/memory.ts";
import type { ErrorReport } from "../protocol.ts";
import { h } from "./dom.ts";

export interface Remedy {
  label: string;
  take: () => void;
}

/** Buttons that apply a setting known to fix the error. */
export function remedies({ remedy }: ErrorReport, set: (key: "lr" | "batchSize", value: number) => void): Remedy[] {
  switch (remedy?.kind) {
    case "smaller-batch": {
      const { batchSize, bytes } = remedy;
      const label = `Set the batch size to ${batchSize} (needs ${showBytes(bytes)})`;
      return [{ label, take: () => set("batchSize", batchSize) }];
    }
    case "other-rate": {
      const { lr } = remedy;
      return [{ label: `Set the learning rate to ${lr}`, take: () => set("lr", lr) }];
    }
    default:
      return [];
  }
}

/** Replaces the content of `place` with an error; null clears it. */
export function showError(place: HTMLElement, report: ErrorReport | null, ways: readonly Remedy[] = []): void {
  if (!report) {
    place.replaceChildren();
    return;
  }
  const details = (["where", "expected", "found"] as const).flatMap((key) =>
    report[key] === undefined ? [] : [h("div", {}, h("dt", {}, key), h("dd", {}, report[key]))],
  );
  place.replaceChildren(
    h(
      "div",
      { class: "error" },
      h("p", { class: "summary" }, capital(report.summary)),
      details.length > 0 ? h("dl", {}, details) : null,
      report.hint ? h("p", {}, sentence(report.hint)) : null,
      ways.length > 0
        ? h(
            "div",
            { class: "row" },
            ways.map(({ label, take }) => h("button", { type: "button", onclick: take }, label)),
          )
        : null,
    ),
  );
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function sentence(text: string): string {
  return `${capital(text)}.`.replace(/([.?!])\.$/, "$1");
}
