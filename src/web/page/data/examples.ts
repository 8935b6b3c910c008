/** Examples that are typed, or pasted from a spreadsheet. They become a file like one that the visitor selects. */
import { computed } from "@preact/signals";
import { formatCount } from "../../../core/format.ts";
import { csvField } from "../../../io/csv.ts";
import { settled } from "../shared/ask.ts";
import { EXAMPLES_FILE, keptText } from "../train/saved.ts";

/** The fewest examples of a label: some are needed for validation and test. */
const FEWEST = 4;

/** `spam: You have won a prize` */
const TYPED = /^([^:\t]{1,60}):\s*(\S.*)$/;

export const examples = keptText("examples", "");
const rest = settled(examples);
const lines = computed(() => rest.value.split(/\r?\n/).filter((line) => line.trim() !== ""));

/** Labels and texts; null: a table. */
const typed = computed(() => {
  const matches = lines.value.map((line) => TYPED.exec(line.trim()));
  return matches.every((match) => match !== null) ? matches.map(([, label, text]) => [label!.trim(), text!]) : null;
});

const counts = computed(() => {
  const all = new Map<string, number>();
  for (const [label] of typed.value ?? []) all.set(label!, (all.get(label!) ?? 0) + 1);
  return [...all];
});

/** The next step before the examples can be used; null: none. */
const missing = computed(() => {
  if (!typed.value) return lines.value.length < 2 ? "Write a label, a colon and a text in each line." : null;
  if (counts.value.length < 2) return "Write examples of two labels or more, each in a line: a label, a colon, a text.";
  const few = counts.value.find(([, count]) => count < FEWEST);
  return few ? `Write at least ${FEWEST} examples of “${few[0]}”: it has ${few[1]}.` : null;
});

export const examplesHelp = computed(() => {
  if (missing.value !== null || !typed.value) return missing.value ?? "";
  const all = counts.value.map(([label, count]) => `${label} ${formatCount(count)}`).join(", ");
  return `${all}. More examples, and more varied ones, make a better model.`;
});

/** The file with the examples; none while there are too few. */
export const exampleFiles = computed((): readonly File[] =>
  missing.value === null ? [new File([asTable()], EXAMPLES_FILE, { type: "text/csv" })] : [],
);

/** What a spreadsheet copies has tabs; a cell with line ends or quotes is quoted as in CSV. */
function asTable(): string {
  const rows = typed.value
    ? [["label", "text"], ...typed.value]
    : rest.value.includes('"')
      ? null
      : lines.value.map((line) => line.split("\t"));
  if (!rows || rows.every(({ length }) => length === 1)) return rest.value;
  return rows.map((row) => `${row.map((cell) => csvField(cell)).join()}\n`).join("");
}
