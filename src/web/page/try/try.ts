/** The message that is tried: its label by the shown run and by the base model, and which of its words count. */
import { computed, effect, signal } from "@preact/signals";
import type { TextOrPair } from "../../../core/pair.ts";
import { type Influences, leaveOut } from "../../../infer/influence.ts";
import { TASKS } from "../../../tasks/index.ts";
import { type ErrorReport, isUnderWay, type Verdict } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { failureReport } from "../shared/client.ts";
import { worker } from "../shared/worker.ts";
import { keptText } from "../train/saved.ts";
import { example } from "./example.ts";

/** Milliseconds without input until a message is classified, and then until its words are, each as one more message. */
const PAUSE = 120;
const WORDS_PAUSE = 400;

/** The shown run, if it can classify; without a run what comes with the page. */
export const classifier = computed(() => {
  const run = shown.value ?? example.value;
  return run?.usable && TASKS[run.record.objective].predicts ? run : null;
});
/** Its id, or null. Not a new value at every step. */
const id = computed(() => classifier.value?.id ?? null);
/** Differs when its parameters do. */
export const version = computed(() => `${id.value} ${classifier.value?.checkpoint} ${classifier.value?.state}`);
/** The messages of its test set to try it with. */
export const testResults = computed(() => {
  const run = classifier.value;
  return run && !isUnderWay(run) ? (run.record.results?.test ?? null) : null;
});

export const message = keptText("message", "");
/** The second text, where the run has pairs. */
export const second = keptText("second", "");
/** The columns of the run's pairs of texts; undefined: its texts are no pairs. */
export const pairs = computed(() => classifier.value?.record.pairs);

/** The typed text, to be classified; null: none. */
const typed = computed(() => {
  const text = pairs.value ? ([message.value.trim(), second.value.trim()] as const) : message.value.trim();
  return id.value === null || [text].flat().includes("") ? null : { id: id.value, text, version: version.value };
});
type Asked = NonNullable<typeof typed.value> & { whole?: TextOrPair };

const latest = signal<{ asked: Asked; verdict?: Verdict; error?: ErrorReport } | null>(null);
/** The influences of its words, and those that the visitor has left out. */
const explained = signal<{ asked: Asked; influences: Influences; out: ReadonlySet<number> } | null>(null);

/** The same without the words that are left out. */
export const asked = computed((): Asked | null => {
  const [now, explanation] = [typed.value, explained.value];
  if (!now || explanation?.asked !== now || explanation.out.size === 0) return now;
  return { ...now, text: leaveOut(now.text, explanation.influences.parts, explanation.out), whole: now.text };
});

/** The latest answer of the shown run, also while a newer message is classified; null: none yet. */
export const answer = computed(() => {
  if (!asked.value) return null;
  return latest.value?.asked.id === asked.value.id ? latest.value : ("pending" as const);
});
/** The influence of the words of the message that is answered. */
export const words = computed(() => {
  const [shown, explanation] = [answer.value, explained.value];
  if (!shown || shown === "pending" || shown.error || !explanation) return null;
  const { id, text, whole = text } = shown.asked;
  return explanation.asked.id === id && isSameText(explanation.asked.text, whole)
    ? { text: whole, ...explanation.influences, out: explanation.out }
    : null;
});

/** Leaves a word out of the message that is classified, or puts it back. */
export function toggleWord(part: number): void {
  const explanation = explained.value!;
  const out = new Set(explanation.out);
  if (!out.delete(part)) out.add(part);
  explained.value = { ...explanation, out };
}

export const trimmed = (text: TextOrPair): TextOrPair =>
  typeof text === "string" ? text.trim() : [text[0].trim(), text[1].trim()];

export const isSameText = (a: TextOrPair, b: TextOrPair) => JSON.stringify(a) === JSON.stringify(b);

export function setMessage(text: TextOrPair): void {
  const [first = "", other] = [text].flat();
  message.value = first;
  if (other !== undefined) second.value = other;
}

effect(() => {
  if (!asked.value) return;
  const timer = setTimeout(classifyLatest, PAUSE);
  return () => clearTimeout(timer);
});

/** A run that trains needs the device for itself: there are no influences then. */
effect(() => {
  const now = typed.value;
  if (!now || latest.value?.asked !== now || latest.value.error || explained.peek()?.asked === now) return;
  const timer = setTimeout(async () => {
    const influences = await worker.influences(now.id, now.text).catch(() => null);
    explained.value = influences && { asked: now, influences, out: new Set() };
  }, WORDS_PAUSE);
  return () => clearTimeout(timer);
});

let isBusy = false;

/** Classifies one message at a time. What is typed meanwhile is next. */
async function classifyLatest(): Promise<void> {
  if (isBusy) return;
  isBusy = true;
  for (let now = asked.value; now && now !== latest.value?.asked; now = asked.value)
    latest.value = await worker.classify(now.id, now.text).then(
      (verdict) => ({ asked: now, verdict }),
      (error) => ({ asked: now, error: failureReport(error) }),
    );
  isBusy = false;
}
