/** The roles of the columns of the visitor's table: found by the worker, and changed by clicking headings. */
import { computed } from "@preact/signals";
import type { ColumnKind } from "../../../data/table/column-facts.ts";
import { readAs, readWith, report } from "./data.ts";

export type Role = "text" | "second" | "label" | "unused";

const read = computed(() => {
  const { columns = [], error = null } = report.value ?? {};
  const named = (asked: string | undefined) => {
    const names = asked?.split(",") ?? [];
    return columns.filter(({ name }) => name === asked || names.includes(name)).map(({ name }) => name);
  };
  const inRole = (role: string) => columns.filter(({ readAs }) => readAs === role).map(({ name }) => name);
  // Of what cannot be read is known what was chosen.
  const [texts, labels] = error
    ? [named(readWith("textColumn")), named(readWith("labelColumn"))]
    : [inRole("text"), inRole("label")];
  const isTurned = texts.length === 2 && readWith("textColumn") === `${texts[1]},${texts[0]}`;
  return { texts: isTurned ? texts.reverse() : texts, labels };
});

export function roleOf(name: string): Role {
  const { texts, labels } = read.value;
  if (labels.includes(name)) return "label";
  const place = texts.indexOf(name);
  return place < 0 ? "unused" : place === 0 ? "text" : "second";
}

/** The roles of a column: there is always a text and a label, and one without others follows from the rest. */
export function rolesFor(name: string): Role[] {
  const { texts, labels } = read.value;
  const role = roleOf(name);
  const isOnly = role === "label" ? labels.length === 1 : role === "text" && texts.length === 1;
  const hasOther = texts.some((text) => text !== name);
  return ["text", ...(hasOther ? (["second"] as const) : []), "label", ...(isOnly ? [] : (["unused"] as const))];
}

const kindOf = (name: string): ColumnKind | undefined =>
  report.value?.columns.find((column) => column.name === name)?.kind;

/** Reads a column as something else. */
export function mark(name: string, role: Role): void {
  const { texts, labels } = read.value;
  const [first, second] = texts.filter((text) => text !== name);
  const others = labels.filter((label) => label !== name);
  const areFlags = [name, ...others].every((column) => kindOf(column) === "flags");
  const marked = {
    text: { texts: [name, second], labels: others },
    second: { texts: [first, name], labels: others },
    // Labels that have a column each.
    label: { texts: [first, second], labels: areFlags ? [...others, name] : [name] },
    unused: { texts: [first, second], labels: others },
  }[role];
  const list = (names: readonly (string | undefined)[]) => names.filter((one) => one !== undefined).join() || undefined;
  const [textColumn, labelColumn] = [list(marked.texts), list(marked.labels)];
  readAs({ textColumn, labelColumn } as Parameters<typeof readAs>[0]);
}
