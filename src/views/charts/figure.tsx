/**
 * A chart in the page: with its title and legend as HTML, as wide as there is room, and the values under the pointer.
 */
import { signal, useSignal } from "@preact/signals";
import { bisectCenter } from "d3-array";
import { useEffect, useRef } from "preact/hooks";
import type { Axis, Chart, HeatMap, Line, LineChart } from "../../document/chart.ts";
import type { Medium } from "../components.tsx";
import { KEY_WIDTH, Key, scale } from "./axes.tsx";
import { Bars, barsHeight } from "./bars.tsx";
import { legendEntries } from "./legend.ts";
import { Lines, layLines } from "./lines.tsx";
import { Scatter } from "./scatter.tsx";

type PageChart = Exclude<Chart, HeatMap>;

interface FigureProps {
  chart: PageChart;
  /** The text alternative, after the title. */
  description: string;
}

/** The place under the pointer, which all charts with this horizontal axis show. */
const pointed = signal<{ axis: string; at: number } | null>(null);

const placeOn = ({ title }: Axis) => (pointed.value?.axis === title ? pointed.value.at : null);

/** How a page shows blocks: it has no other kinds of charts. */
export const IN_PAGE: Medium = {
  draw: ({ chart, caption }) =>
    chart.kind !== "heat-map" && (
      <figure>
        <ChartFigure chart={chart} description={caption} />
      </figure>
    ),
};

/** The content of a <figure>. */
export function ChartFigure({ chart, description }: FigureProps) {
  return (
    <>
      <figcaption>
        <span class="name">{chart.title}</span>
        <ul class="legend">
          {legendEntries(chart).map(({ text, key, line }, i) => (
            <li key={i} class={key ? undefined : "group"}>
              {key && (
                <svg class="key" width={KEY_WIDTH} height={12} aria-hidden="true">
                  <Key {...key} />
                </svg>
              )}
              {text}
              {line && chart.kind === "lines" && <Reading chart={chart} line={line} />}
            </li>
          ))}
          {chart.kind === "lines" && chart.note && <li class="group">{chart.note}</li>}
          {chart.kind === "lines" && <Place axis={chart.x} />}
        </ul>
      </figcaption>
      <ChartPlot chart={chart} description={description} />
    </>
  );
}

/** A line's value that is nearest to the place under the pointer. */
function Reading({ chart: { x, y }, line: { xs, ys } }: { chart: LineChart; line: Line }) {
  const at = placeOn(x);
  const value = at === null ? undefined : ys[bisectCenter(xs, at)];
  return <b>{value == null ? "" : y.show(value)}</b>;
}

function Place({ axis }: { axis: Axis }) {
  const at = placeOn(axis);
  return <li class="at">{at === null ? "" : `nearest to ${axis.show(at)}`}</li>;
}

/** The plot alone. */
function ChartPlot({ chart, description }: FigureProps) {
  const place = useRef<HTMLDivElement>(null);
  const width = useSignal(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const { width: room } = entry!.contentRect;
      width.value = room > 0 ? Math.max(200, Math.floor(room)) : 0;
    });
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, [width]);
  return (
    <div class="plot" role="img" aria-label={`${chart.title}. ${description}`} ref={place}>
      {width.value > 0 && <Plot chart={chart} width={width.value} />}
    </div>
  );
}

function Plot({ chart, width }: { chart: PageChart; width: number }) {
  if (chart.kind === "lines") return <PointedLines chart={chart} width={width} />;
  const height = chart.kind === "bars" ? barsHeight(chart) : SCATTER_HEIGHT;
  return (
    <svg width={width} height={height} aria-hidden="true">
      {chart.kind === "bars" ? (
        <Bars chart={chart} width={width} />
      ) : (
        <Scatter chart={chart} width={width} height={height} />
      )}
    </svg>
  );
}

const LINES_HEIGHT = 200;
const COUNTS_HEIGHT = 420;
const SCATTER_HEIGHT = 300;

/** Lines in less room than a file has: without the upper axis. */
function PointedLines({ chart: { upper: _, ...chart }, width }: { chart: LineChart; width: number }) {
  const height = chart.counts ? COUNTS_HEIGHT : LINES_HEIGHT;
  const layout = layLines(chart, width, height);
  const { frame, x } = layout;
  const point = ({ clientX, currentTarget }: { clientX: number; currentTarget: Element }) => {
    const share = (clientX - currentTarget.getBoundingClientRect().left - frame.left) / (frame.right - frame.left);
    const at = x[0] + share * (x[1] - x[0]);
    pointed.value = share >= 0 && share <= 1 ? { axis: chart.x.title, at } : null;
  };
  return (
    <svg
      width={width}
      height={height}
      aria-hidden="true"
      onPointerMove={point}
      onPointerLeave={() => {
        pointed.value = null;
      }}
    >
      <Lines chart={chart} layout={layout} />
      <Cursor chart={chart} layout={layout} />
    </svg>
  );
}

function Cursor({ chart, layout: { frame, x } }: { chart: LineChart; layout: ReturnType<typeof layLines> }) {
  const at = placeOn(chart.x);
  if (at === null || at < x[0] || at > x[1]) return null;
  const place = scale(x, [frame.left, frame.right])(at);
  return (
    <path
      class="cursor"
      d={`M${place} ${frame.top}V${frame.bottom}`}
      stroke="var(--edge)"
      stroke-dasharray="2 3"
      pointer-events="none"
    />
  );
}
