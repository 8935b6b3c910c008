/** Blocks as components: those of the page, of reports in HTML, and of the page of one file. */
import type { ComponentChildren, RefObject } from "preact";
import { printable } from "../errors.ts";
import type { Block, Cell, Column, Details, Figure, Note, Table } from "./blocks.ts";
import { brief, cellParts, isNumeric, shownColumns } from "./cells.ts";
import { ChartFigure } from "./charts/figure.tsx";

/** What a file shows otherwise than a page: charts that do not move, and links to the files beside it. */
export interface InFile {
  draw: (figure: Figure) => ComponentChildren;
  link: (block: Table | Figure) => ComponentChildren;
}

export function Blocks({ blocks, inFile }: { blocks: readonly Block[]; inFile?: InFile | undefined }) {
  return blocks.map((block, i) => <BlockView key={"name" in block ? block.name : i} block={block} inFile={inFile} />);
}

function BlockView({ block, inFile }: { block: Block; inFile: InFile | undefined }) {
  switch (block.kind) {
    case "heading":
      return block.level === 1 ? <h1>{printable(block.text)}</h1> : <h2>{printable(block.text)}</h2>;
    case "text":
      return <p>{printable(block.text)}</p>;
    case "note":
      return <NoteView note={block} />;
    case "table":
      return (
        <>
          <TableView table={block} />
          {inFile?.link(block)}
        </>
      );
    case "figure":
      return (
        <>
          {inFile ? inFile.draw(block) : <PageFigure figure={block} />}
          {inFile?.link(block)}
        </>
      );
    case "details":
      return <DetailsView details={block} inFile={inFile} />;
  }
}

/** A page has no other kinds of charts. */
function PageFigure({ figure: { chart, caption } }: { figure: Figure }) {
  if (chart.kind !== "lines" && chart.kind !== "scatter") return null;
  return (
    <figure>
      <ChartFigure chart={chart} description={caption} />
    </figure>
  );
}

export function NoteView({ note }: { note: Note }) {
  return <p class="note">{printable(note.text)}</p>;
}

export function DetailsView({ details, inFile }: { details: Details; inFile?: InFile | undefined }) {
  return (
    <details open={inFile !== undefined}>
      <summary>{printable(details.title)}</summary>
      <Blocks blocks={details.blocks} inFile={inFile} />
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
          {table.rows.map((row, r) => (
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

function CellView({ cell, column }: { cell: Cell; column: Column }) {
  const { text, more } = cellParts(cell, column);
  if (typeof cell === "object" && cell !== null && "href" in cell) return <a href={encodeURI(cell.href)}>{text}</a>;
  if (more === undefined) return <>{text}</>;
  const tone = typeof cell === "object" && cell !== null && "tone" in cell ? cell.tone : undefined;
  return (
    <span class={tone}>
      {text}
      <small>{more}</small>
    </span>
  );
}
