/**
 * A long table in a file: its first rows, and all of them as data, so that a script can sort them by a column and
 * filter them by words. Without scripts the first rows stay, with what is said of the others.
 */
import type { Cell, Table } from "../document/blocks.ts";
import { aboutRows, cellParts, ROWS_AT_ONCE, shownColumns } from "../document/cells.ts";
import { linkTarget, scriptLiteral } from "../quote.ts";
import { TableView } from "./components.tsx";

/** A table of more rows is a long one. */
const SHORT = 20;

/** A cell as the script gets it: what it shows, what it is sorted by, a second line; or a text and its link. */
type Data = string | number | [text: string, value: number, more?: string] | [text: string, href: string];

export const isLong = ({ rows }: Table) => rows.length > SHORT;

export function LongTable({ table }: { table: Table }) {
  const { rows } = table;
  const columns = shownColumns(table);
  const data = rows.map((row) => columns.map(({ column, i }) => cellData(row[i], cellParts(row[i], column))));
  return (
    <div class="long" data-at-once={ROWS_AT_ONCE}>
      <TableView table={{ ...table, rows: rows.slice(0, ROWS_AT_ONCE) }} />
      <p class="rows">{aboutRows(table, ROWS_AT_ONCE)}</p>
      <script type="application/json" dangerouslySetInnerHTML={{ __html: scriptLiteral(data) }} />
    </div>
  );
}

/** Digits that decide an order. */
const round = (value: number) => Number(value.toPrecision(7));

function cellData(cell: Cell, { text, more }: ReturnType<typeof cellParts>): Data {
  if (typeof cell === "number") return String(round(cell)) === text ? round(cell) : [text, round(cell)];
  if (typeof cell !== "object" || cell === null) return text;
  if ("href" in cell) return [text, linkTarget(cell.href)];
  return [text, round(cell.value), ...(more === undefined ? [] : [more])] as Data;
}

/** What a report with long tables runs. It is written into the file as it is, and uses nothing from outside itself. */
function openTables(): void {
  function make<Name extends keyof HTMLElementTagNameMap>(
    name: Name,
    attributes: Record<string, string>,
    ...children: (Node | string)[]
  ): HTMLElementTagNameMap[Name] {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const inOrder = new Intl.Collator(undefined, { numeric: true }).compare;
  const count = (n: number) => n.toLocaleString("en-US");
  const parts = (cell: Data) => (Array.isArray(cell) ? cell : ([String(cell), cell] as const));
  const textOf = (cell: Data) => parts(cell)[0];
  const numberOf = (cell: Data) => {
    const [, value] = parts(cell);
    return typeof value === "number" ? value : Number.NaN;
  };

  /** What has no number is at the end in both directions. */
  function sortRows(rows: readonly Data[][], column: number, direction: number): number[] {
    const values = rows.map((row) => numberOf(row[column]!));
    const isNumeric = values.some((value) => !Number.isNaN(value));
    const compare = (a: number, b: number) => {
      if (!isNumeric) return direction * inOrder(textOf(rows[a]![column]!), textOf(rows[b]![column]!));
      const [one, other] = [values[a]!, values[b]!];
      const missing = Number(Number.isNaN(one)) - Number(Number.isNaN(other));
      return missing || (Number.isNaN(one) ? 0 : direction * (one - other));
    };
    return [...rows.keys()].sort(compare);
  }

  function makeRow(row: readonly Data[], kinds: readonly string[]): HTMLElement {
    const cells = row.map((cell, i) => {
      const [text, value, more] = parts(cell);
      const shown = typeof cell === "object" && typeof value === "string" ? make("a", { href: value }, text) : text;
      const second = more === undefined ? [] : [make("small", {}, more)];
      const kind = kinds[i]! && { class: kinds[i]! };
      return make(i === 0 ? "th" : "td", { ...(i === 0 ? { scope: "row" } : {}), ...kind }, shown, ...second);
    });
    return make("tr", {}, ...cells);
  }

  function open(place: HTMLElement): void {
    const rows = JSON.parse(place.querySelector("script")!.textContent!) as Data[][];
    const atOnce = Number(place.dataset.atOnce);
    const heads = [...place.querySelectorAll("thead th")];
    const kinds = heads.map((head) => head.className);
    const texts = rows.map((row) => ` ${row.map(textOf).join(" ").toLowerCase().replaceAll("\u00a0", " ")}`);
    let sorted = [...rows.keys()];
    let found = sorted;
    const field = make("input", { type: "search" });
    const status = make("span", { role: "status" });
    const before = make("button", { type: "button" }, "Previous rows");
    const next = make("button", { type: "button" }, "Next rows");
    let first = 0;

    const show = (from: number) => {
      first = from;
      const shown = found.slice(first, first + atOnce);
      place.querySelector("tbody")!.replaceChildren(...shown.map((row) => makeRow(rows[row]!, kinds)));
      const which = shown.length === 0 ? "No row" : `Rows ${count(first + 1)} to ${count(first + shown.length)}`;
      const among = found.length < rows.length ? ` of ${count(found.length)} with these words,` : "";
      status.textContent = `${which}${among} of ${count(rows.length)}`;
      before.disabled = first === 0;
      next.disabled = first + atOnce >= found.length;
    };
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/);
      const hasWords = (text: string) => {
        let at = 0;
        return words.every((word) => {
          at = text.indexOf(` ${word}`, at) + 1;
          return at > 0;
        });
      };
      found = sorted.filter((row) => hasWords(texts[row]!));
      show(0);
    };
    for (const [column, head] of heads.entries()) {
      const button = make("button", { type: "button" }, head.textContent!);
      button.addEventListener("click", () => {
        const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const one of heads) one.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        sorted = sortRows(rows, column, order === "ascending" ? 1 : -1);
        filter();
      });
      head.replaceChildren(button);
    }
    field.addEventListener("input", filter);
    before.addEventListener("click", () => show(first - atOnce));
    next.addEventListener("click", () => show(first + atOnce));
    const turns = rows.length > atOnce ? [before, " ", next, " "] : [];
    const tools = make("p", { class: "rows" }, make("label", {}, "Filter ", field), " ", ...turns, status);
    place.querySelector(".rows")!.remove();
    place.prepend(tools);
    show(0);
  }

  for (const place of document.querySelectorAll<HTMLElement>(".long")) open(place);
}

export const SCRIPT = `(${openTables})();`;
