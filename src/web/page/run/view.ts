/** The views of a run that has left something: one at a time, which the visitor chooses. */
import { computed, signal } from "@preact/signals";
import { hasAdapter } from "../../protocol.ts";
import { shown, writer } from "../runs/runs.ts";
import { goTo } from "../shared/scroll.ts";
import { classifier } from "../try/try.ts";

const TITLES = { try: "Try it", write: "Let it write", result: "Result", learned: "What it learned", take: "Use it" };
export type View = keyof typeof TITLES;

/** Those that the shown run has, with their titles. */
export const views = computed((): Partial<Record<View, string>> => {
  const run = shown.value;
  // Without a run a model that comes with the page can be tried.
  if (!run) return classifier.value ? { try: TITLES.try } : {};
  const has: Record<View, boolean> = {
    try: classifier.value !== null,
    write: writer.value !== null,
    result: run.state === "finished",
    learned: hasAdapter(run) && run.changes !== undefined,
    take: hasAdapter(run),
  };
  return Object.fromEntries(Object.entries(TITLES).filter(([name]) => has[name as View]));
});

/** The view that the visitor has chosen last. */
const chosen = signal<View>("try");

const current = computed(() => (chosen.value in views.value ? chosen.value : (Object.keys(views.value)[0] as View)));

/** The one that is shown; of a run that has not the chosen one, its first. */
export const view = {
  get value() {
    return current.value;
  },
  set value(name: View) {
    chosen.value = name;
  },
};

/** Takes the visitor to where the shown run is tried. */
export function goToTrial(): void {
  const usual = writer.value ? "write" : "try";
  chosen.value = usual;
  goTo(usual);
}
