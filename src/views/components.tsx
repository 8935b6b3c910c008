/** Blocks as components: those of the page, of reports in HTML, and of the page of one file. */
import type { ComponentChildren, RefObject } from "preact";
import { printableLine } from "../core/printable.ts";
import { linkTarget } from "../core/quote.ts";
import { plain } from "../core/setting.ts";
import type { Block, Cell, Column, Details, Figure, Table } from "../document/blocks.ts";
import { brief, cellParts, isNumeric, shownColumns, shownRows } from "../document/cells.ts";

/** Components that a page and a file have each their own of: see charts/figure.tsx and html.tsx. */
export interface Medium {
  draw: (figure: Figure) => ComponentChildren;
  /** Default: `TableView`. */
  table?: (table: Table) => ComponentChildren;
  /** Actions on a note: in a page, buttons. */
  ways?: (text: string) => ComponentChildren;
  /** Texts with its own words for settings; default: the library's. */
  words?: (text: string) => string;
}

export function Blocks({ blocks, medium }: { blocks: readonly Block[]; medium: Medium }) {
  return blocks.map((block, i) => <BlockView key={"name" in block ? block.name : i} block={block} medium={medium} />);
}

function BlockView({ block, medium }: { block: Block; medium: Medium }) {
  switch (block.kind) {
    case "heading":
      return block.level === 1 ? <h1>{printableLine(block.text)}</h1> : <h2>{printableLine(block.text)}</h2>;
    case "text":
      return <p class={block.tone && `verdict ${block.tone}`}>{line(block.text, medium)}</p>;
    case "note":
      return (
        <p class="note">
          {line(block.text, medium)}
          {medium.ways?.(block.text)}
        </p>
      );
    case "code":
      return <pre>{printableLine(block.text)}</pre>;
    case "table":
      return medium.table?.(block) ?? <TableView table={block} />;
    case "figure":
      return medium.draw(block);
    case "details":
      return <DetailsView details={block} medium={medium} />;
  }
}

const line = (text: string, { words = plain }: Medium) => isolate(printableLine(words(text)));

/** What is written from right to left, from its first letter to its last. */
const RIGHT_TO_LEFT = /([\p{Script=Arabic}\p{Script=Hebrew}](?:[^\p{L}\p{N}]*[\p{Script=Arabic}\p{Script=Hebrew}])*)/u;

/** A sentence with labels or names in it: what is written from right to left moves nothing that stands beside it. */
export const isolate = (text: string): ComponentChildren =>
  text.split(RIGHT_TO_LEFT).map((piece, i) => (i % 2 === 0 ? piece : <bdi key={i}>{piece}</bdi>));

function DetailsView({ details, medium }: { details: Details; medium: Medium }) {
  return (
    <details>
      <summary>{printableLine(details.title)}</summary>
      <Blocks blocks={details.blocks} medium={medium} />
    </details>
  );
}

/** A scrollable region that is focusable, so that the keyboard can scroll it. */
export function ScrollArea({ label, kind = "", area, children }: ScrollAreaProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
    <section ref={area ?? null} class={`scroll ${kind}`.trim()} tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}

interface ScrollAreaProps {
  label: string;
  kind?: string;
  area?: RefObject<HTMLElement | null>;
  children: ComponentChildren;
}

/** A table in a scrollable region whose class is its name. */
export function TableView({ table }: { table: Table }) {
  const columns = shownColumns(table).map((column) => ({ ...column, isNumeric: isNumeric(table, column.i) }));
  const caption = brief(table.caption);
  return (
    <ScrollArea label={caption} kind={table.name}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ title, i, isNumeric }) => (
              <th key={i} scope="col" class={isNumeric ? "n" : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shownRows(table).map((row, r) => (
            <tr key={r}>
              {columns.map(({ column, i, isNumeric }, place) =>
                place === 0 ? (
                  <th key={i} scope="row">
                    <CellView cell={row[i]} column={column} />
                  </th>
                ) : (
                  <td key={i} class={isNumeric ? "n" : undefined}>
                    <CellView cell={row[i]} column={column} />
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollArea>
  );
}

const Choice = ({ name, value, choices }: { name: string; value: string; choices: readonly string[] }) => (
  <select aria-label={name}>
    {choices.map((choice) => (
      <option key={choice} value={choice} selected={choice === value}>
        {brief(choice)}
      </option>
    ))}
  </select>
);

function CellView({ cell, column }: { cell: Cell; column: Column }) {
  const { text, more } = cellParts(cell, column);
  if (typeof cell === "object" && cell !== null) {
    if ("href" in cell) return <a href={linkTarget(cell.href)}>{text}</a>;
    if ("choices" in cell) return <Choice {...cell} name={column.title!} />;
  }
  if (more === undefined) return <>{text}</>;
  const tone = typeof cell === "object" && cell !== null && "tone" in cell ? cell.tone : undefined;
  return (
    <span class={tone}>
      {text}
      <small>{more}</small>
    </span>
  );
}
