import type { Figure, Table } from "../document/blocks.ts";

/** The file of a table or a figure, from the report that shows it. */
export function blockFile({ kind, name }: Table | Figure): string {
  return `figures/${name}.${kind === "table" ? "csv" : "svg"}`;
}
