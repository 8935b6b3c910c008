/** Examples that are typed or pasted, one text field a class. They become a file like one that the visitor selects. */
import { computed, effect, signal } from "@preact/signals";
import { formatCount } from "../../../format.ts";
import { settled } from "../shared/ask.ts";
import { EXAMPLES_FILE } from "../train/saved.ts";

const KEY = "lowrank-examples";
/** The fewest examples of a class: some are needed for validation and test. */
const FEWEST = 4;

interface ClassExamples {
  name: string;
  /** One example a line. */
  text: string;
}

const START: readonly ClassExamples[] = [
  { name: "positive", text: "" },
  { name: "negative", text: "" },
];

const kept = localStorage.getItem(KEY);
export const classes = signal<readonly ClassExamples[]>(kept === null ? START : JSON.parse(kept));
effect(() => localStorage.setItem(KEY, JSON.stringify(classes.value)));

export function changeClass(i: number, change: Partial<ClassExamples>): void {
  classes.value = classes.value.map((one, k) => (k === i ? { ...one, ...change } : one));
}

export function addClass(): void {
  classes.value = [...classes.value, { name: `class ${classes.value.length + 1}`, text: "" }];
}

export function removeClass(i: number): void {
  classes.value = classes.value.filter((_, k) => k !== i);
}

const rest = settled(classes);
const read = computed(() =>
  rest.value.map(({ name, text }) => ({
    name: name.trim(),
    lines: text.split("\n").flatMap((line) => line.trim() || []),
  })),
);

/** What is missing before the examples can be used; null: nothing. */
const problem = computed(() => {
  const names = read.value.map(({ name }) => name);
  if (names.includes("")) return "Give each class a name.";
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) return `Two classes are called ${twice}: give them different names.`;
  const few = read.value.find(({ lines }) => lines.length < FEWEST);
  if (few) return `Write at least ${FEWEST} examples of ${few.name}, one per line: it has ${few.lines.length}.`;
  return null;
});

export const examplesHelp = computed(() => {
  const sum = read.value.reduce((total, { lines }) => total + lines.length, 0);
  return problem.value ?? `${formatCount(sum)} examples. More of them, and more varied ones, make a better model.`;
});

/** The file with the examples; none while there are too few. */
export const exampleFiles = computed((): readonly File[] => {
  if (problem.value !== null) return [];
  const rows = read.value.flatMap(({ name, lines }) => lines.map((text) => JSON.stringify({ label: name, text })));
  return [new File([`${rows.join("\n")}\n`], EXAMPLES_FILE, { type: "application/jsonl" })];
});
