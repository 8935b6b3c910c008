/** Shows errors in place: summary, details, hint, and buttons that fix them. */
import { showBytes } from "../../plan/memory.ts";
import type { ErrorReport } from "../protocol.ts";
import { h } from "./dom.ts";

export interface Remedy {
  label: string;
  take: () => void;
}

/** The settings of a remedy, as a sentence has them. */
const WORDS: Record<keyof Settings, string> = {
  lr: "the learning rate",
  dtype: "frozen weights",
  recompute: "recomputation",
  batchSize: "the batch size",
};
type Settings = NonNullable<ErrorReport["remedy"]>["set"];

/** A button that applies settings known to fix the error. */
export function remedies(
  report: ErrorReport | null,
  set: (key: keyof Settings, value: string | number) => void,
): Remedy[] {
  const remedy = report?.remedy;
  if (!remedy) return [];
  const changes = Object.entries(remedy.set) as [keyof Settings, string | number][];
  const words = changes.map(([key, value]) => `${WORDS[key]} to ${value}`).join(" and ");
  const needs = remedy.bytes === undefined ? "" : ` (needs ${showBytes(remedy.bytes)})`;
  const take = () => {
    for (const [key, value] of changes) set(key, value);
  };
  return [{ label: `Set ${words}${needs}`, take }];
}

/** A button that reads a file in the encoding that it may have, which `select` then shows. */
export function readings({ encoding }: ErrorReport, select: HTMLSelectElement): Remedy[] {
  if (!encoding) return [];
  const take = () => {
    select.value = encoding.encoding;
    select.closest("details")!.open = true;
    // The button is gone afterwards.
    select.focus();
    select.dispatchEvent(new Event("input"));
  };
  return [{ label: `Read it as ${encoding.title}`, take }];
}

function encodingPreview({ title, preview }: NonNullable<ErrorReport["encoding"]>): HTMLElement[] {
  return [
    h("p", {}, `As ${title} it reads:`),
    h(
      "ul",
      { class: "notes" },
      preview.map(({ line, text }) => h("li", {}, `Line ${line}: ${text}`)),
    ),
    h("p", {}, "If this looks wrong, choose another one under “Encoding”, or save the file as UTF-8."),
  ];
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
      report.encoding ? encodingPreview(report.encoding) : null,
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
