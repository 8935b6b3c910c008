/** Every kind of chart as an SVG document, and what charts share. */
import { h } from "preact";
import { renderToString } from "preact-render-to-string";
import * as assert from "uvu/assert";
import type { Chart, HeatMap, Line, LineChart, ScatterChart } from "../../../src/document/chart.ts";
import { axisRange, steps } from "../../../src/views/charts/axes.tsx";
import { ChartFigure } from "../../../src/views/charts/figure.tsx";
import { chartSvg } from "../../../src/views/charts/svg.tsx";
import { cut, textWidth, wrap } from "../../../src/views/charts/text.ts";
import { test } from "../../helpers/harness.ts";
import { assertWellFormed, drawnPoints, svgTexts } from "../../helpers/markup.ts";

/** A line of `count` points from 0 to `end` examples. */
function line(count: number, end: number, value: (share: number) => number, more: Partial<Line> = {}): Line {
  const shares = Array.from({ length: count }, (_, i) => i / Math.max(1, count - 1));
  return {
    ...{ name: "validation", color: 1, look: "solid" },
    ...{ xs: shares.map((share) => share * end), ys: shares.map(value) },
    ...more,
  };
}

const lineChart = (lines: readonly Line[], more: Partial<LineChart> = {}): LineChart => ({
  ...{ kind: "lines", title: "Loss: LoRA <r 8 & alpha 16>", lines },
  x: { title: "examples seen", show: (value) => value.toLocaleString("en-US") },
  y: { title: "cross-entropy (nats)", show: (value) => String(Number(value.toFixed(4))), from: 0 },
  ...more,
});

const show = (value: number) => (100 * value).toFixed(1);

const sized = (group: string, trainable: number, value: number, half = 0.02) => ({
  ...{ group, color: 0, name: group, x: trainable, y: value },
  interval: { low: value - half, high: value + half },
});

const overSize = (points: ScatterChart["points"], axis: { to?: number } = {}): ScatterChart => ({
  ...{ kind: "scatter", title: "Accuracy", points },
  x: { title: "trainable parameters", show: (value) => value.toLocaleString("en-US") },
  y: { title: "accuracy", show, ...axis },
});

const HEAT: HeatMap = {
  ...{ kind: "heat-map", title: "Accuracy", range: { low: 0.9, high: 0.92 }, show },
  x: { title: "alpha", names: ["2", "8", "16"] },
  y: { title: "rank", names: ["1", "4"] },
  cells: [0, 1].flatMap((y) =>
    [0.902, 0.908, 0.916].map((value, x) => ({ x, y, value, interval: { low: 0.88, high: 0.95 } })),
  ),
};

/** Checks what holds for the SVG of every chart. Returns it. */
function draw(chart: Chart): string {
  const svg = chartSvg(chart);
  assertWellFormed(svg);
  // Every attribute has a value: HTML would do without.
  assert.is(svg.match(/<\w+( [\w:-]+="[^"]*")*>/g)!.length, svg.match(/<\w/g)!.length);
  assert.not.match(svg, /NaN|undefined|Infinity|="var\(--/);
  assert.is(chartSvg(chart), svg);
  const [, width, height] = svg.match(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="(\d+)" height="(\d+)"/)!;
  for (const [x, y] of drawnPoints(svg))
    assert.ok(x >= 0 && x <= Number(width) && y >= 0 && y <= Number(height), `${x} ${y} is outside: ${chart.title}`);
  return svg;
}

test("an axis has few steps, of 1, 2 or 5 times a power of ten, that begin and end inside it", () => {
  assert.equal(steps([0, 416], 360, 90), [0, 100, 200, 300, 400]);
  assert.equal(steps([0, 2.46], 225, 45), [0, 0.5, 1, 1.5, 2]);
  assert.equal(steps([0.3, 1], 225, 45), [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]);
  assert.equal(steps([0, 1], 225, 45), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.equal(steps([0, 30_000], 225, 45), [0, 5000, 10_000, 15_000, 20_000, 25_000, 30_000]);
  assert.equal(steps([0, 1], 10, 90), [0, 1]);
});

test("the range of an axis: free ends at steps, fixed ends unless values are beyond, and never empty", () => {
  assert.equal(axisRange({}, [0.23, 0.96], 225), [0.2, 1]);
  assert.equal(axisRange({ from: 0, to: 1 }, [0.23, Number.NaN], 225), [0, 1]);
  assert.equal(axisRange({ from: 0, to: 1 }, [-0.3, 1.1], 225), [-0.5, 1.5]);
  for (const values of [[], [Number.NaN], [0], [0.5, 0.5], [-3], [1e300]])
    for (const ends of [{}, { from: 0 }, { to: 1 }, { from: 0, to: 1 }]) {
      const [low, high] = axisRange(ends, values, 225);
      assert.ok(low < high && values.filter(Number.isFinite).every((one) => one >= low && one <= high), `${values}`);
    }
});

test("texts keep to a width: between words, then with an ellipsis", () => {
  assert.equal(wrap("one two three", 1000, 12), ["one two three"]);
  assert.equal(wrap("one two\nthree", 60, 12), ["one two", "three"]);
  assert.equal(wrap("one two three four five", 40, 12, 2), ["one", "two…"]);
  assert.is(cut("a\u0007b", 1000, 12), "a\\u0007b");
  for (const text of ["W".repeat(500), "word ".repeat(100), "語".repeat(500), "👍".repeat(300)])
    for (const line of wrap(text, 300, 12)) assert.ok(textWidth(line, 12) <= 300, line);
});

test("lines: title, both axes with their names, legend, colours, a white background", () => {
  const train = line(200, 20_800, (share) => 0.7 - 0.6 * share, { name: "training", color: 0, look: "faint" });
  const validation = line(21, 20_800, (share) => 0.7 - 0.5 * share);
  const svg = draw(lineChart([train, validation], { upper: { title: "epochs", per: 1040 } }));
  const texts = svgTexts(svg);
  for (const text of [
    ...["Loss: LoRA &lt;r 8 &amp; alpha 16&gt;", "training", "validation", "examples seen", "epochs"],
    ...["cross-entropy (nats)", "0.7", "0", "2,000", "20,000", "18", "20"],
    // The last values, at the ends.
    ...["0.1", "0.2"],
  ])
    assert.ok(texts.includes(text), `${text} is not among ${texts.join(" | ")}`);
  // The end of the lower axis has no label: it would overlap with 20,000.
  assert.not.ok(texts.includes("20,800"));
  for (const part of ["#0072b2", "#d55e00", 'fill="#ffffff"', 'stroke-dasharray="5 3"']) assert.match(svg, part);
});

test("the upper axis has whole epochs, but for short runs", () => {
  for (const epochs of [2, 3, 7, 15, 24, 100, 0.5]) {
    const ticks = (upper?: LineChart["upper"]) =>
      svgTexts(draw(lineChart([line(5, epochs * 1040, (share) => share)], upper ? { upper } : {})));
    const all = ticks({ title: "", per: 1040 });
    const without = ticks();
    const own = all.filter((text, i) => !without.includes(text) || all.indexOf(text) !== i).map(Number);
    assert.is(own.every(Number.isInteger), epochs >= 2, own.join());
  }
});

test("marks with few points, none with many, and the next name has another mark", () => {
  const marks = (svg: string) => (svg.match(/<path d="M[^"]*z"/g) ?? []).length;
  assert.is(marks(draw(lineChart([line(5, 100, (share) => share)]))), 2);
  assert.is(marks(draw(lineChart([line(41, 100, (share) => share)]))), 1);
  const svg = draw(lineChart(Array.from({ length: 9 }, (_, i) => line(1, 0, () => i, { name: `${i}`, color: i }))));
  const looks = [...svg.matchAll(/<path d="M14 6(m[^"]*z)" fill="([^"]*)"/g)].map(([, mark, color]) => mark! + color!);
  assert.is(new Set(looks).size, 9);
});

test("values that are not numbers leave a gap, and no mark", () => {
  const svg = (value: number | null) =>
    draw(lineChart([{ ...line(5, 400, (share) => share), ys: [0, 0.25, value, 0.75, 1] }]));
  const path = (value: number | null) => svg(value).match(/class="curve" d="([^"]*)"/)![1]!;
  assert.match(path(0.5), /^M[^M]*$/);
  for (const none of [null, Number.NaN, Infinity]) {
    assert.match(path(none), /^M[^ML]* [^ML]*L[^ML]*M[^ML]*L[^ML]*$/);
    assert.is(
      svg(none)
        .match(/(?<=d=")M[^"]*z(?=")/g)!
        .at(-1)!
        .match(/z/g)!.length,
      4,
    );
  }
});

test("intervals, a line to compare with, and bars of counts on the same axis", () => {
  const svg = draw(
    lineChart(
      [
        line(3, 1, (share) => share, { intervals: [0, 0.5, 1].map((p) => ({ low: p - 0.1, high: p + 0.1 })) }),
        line(2, 1, (share) => share, { name: "perfect", look: "reference" }),
      ],
      { note: "test set", counts: { title: "rows", width: 0.1, xs: [0.25, 0.95], values: [12, 1234] } },
    ),
  );
  for (const text of ["test set", "perfect", "rows", "12", "1,234", "1,000"])
    assert.ok(svgTexts(svg).includes(text), text);
  assert.is(svg.match(/<rect/g)!.length, 3);
  assert.match(svg, /class="curve"[^>]*stroke="#5f6b7a"[^>]*stroke-dasharray/);
});

test("lines on different data are grouped in the legend", () => {
  const own = (name: string, group: string) => line(3, 10, (share) => share, { name, group });
  const texts = svgTexts(draw(lineChart([own("a", "x.csv"), own("b", "x.csv"), own("c", "y.csv")])));
  const at = texts.indexOf("x.csv:");
  assert.equal(texts.slice(at, at + 5), ["x.csv:", "a", "b", "y.csv:", "c"]);
});

test("results over size: the axis has every interval, and ends at the largest possible value", () => {
  for (const [low, high, top, axis] of [
    [0.93, 0.99, "100.0", { to: 1 }],
    [0.2, 1, "100.0", { to: 1 }],
    [0.3, 0.6, "60.0", {}],
  ] as const) {
    const middle = (low + high) / 2;
    const points = [sized("a", 10, middle, (high - low) / 2), sized("b", 1000, high - 0.01, 0.01)];
    const shown = svgTexts(draw(overSize(points, axis)));
    const ticks = shown.filter((text) => /^\d+\.\d$/.test(text)).map(Number);
    assert.ok(Math.min(...ticks) <= 100 * low, `${low}: ${shown}`);
    assert.ok(shown.includes(top) && !shown.includes("105.0"), `${high}: ${shown}`);
  }
  assert.ok(svgTexts(draw(overSize([sized("a", 10, 0.5)]))).includes("10"));
});

test("points of nearly equal size are side by side, also at the right edge and among many", () => {
  for (const sizes of [[1000, 1010, 1020], [10, 1e6, 1e6, 1e6], Array<number>(60).fill(5)]) {
    const svg = draw(overSize(sizes.map((size, i) => sized(`g${i % 3}`, size, 0.8))));
    const places = [...svg.matchAll(/<title>[^<]*<\/title><path d="M([\d.]+) /g)].map(([, x]) => Number(x));
    assert.is(places.length, sizes.length);
    for (const [i, place] of places.slice(1).entries())
      assert.ok(place - places[i]! >= (sizes.length > 40 ? 10 : 13.8), places.join());
  }
});

test("a point can have its number in a table", () => {
  const chart: ScatterChart = overSize([sized("a", 10, 0.5)]);
  const svg = draw({ ...chart, points: chart.points.map((point) => ({ ...point, label: "7" })) });
  assert.match(svg, /<title>a: 50\.0, 10<\/title>.*<circle.*>7<\/text>/);
});

test("a heat map has every cell with its interval, darker where the value is higher", () => {
  const svg = draw(HEAT);
  for (const text of ["rank", "alpha", "1", "4", "16", "90.2", "88.0 to 95.0"])
    assert.ok(svgTexts(svg).includes(text), text);
  assert.equal(
    [...svg.matchAll(/<g transform="[^"]*"><rect[^>]*fill-opacity="([\d.]+)"/g)].slice(0, 3).map(([, shade]) => shade),
    ["0.06", "0.24", "0.48"],
  );
});

test("a value without an interval is drawn alone, and says why where it is written", () => {
  const interval = { low: Number.NaN, high: Number.NaN };
  const bars = [0.5, 2].map((value, i) => ({ name: `run ${i}`, value, interval }));
  const svg = draw({ kind: "bars", title: "RMSE", show: String, bars });
  assert.ok(svgTexts(svg).includes("2 (all samples equal)"));
  const points = [{ ...sized("a", 10, 0.5), interval }, sized("b", 20, 0.5)];
  assert.is(draw(overSize(points)).match(/class="mark"/g)!.length, 2);
  const cells = HEAT.cells.map((cell) => ({ ...cell, interval }));
  assert.not.match(draw({ ...HEAT, cells }), " to ");
});

test("in a page the title and the legend are HTML, and the plot has a text alternative", () => {
  const lines = [line(3, 10, () => 1, { name: null, look: "faint" }), line(3, 10, () => 1, { name: "a < b" })];
  const chart = lineChart(lines, { title: "Loss", note: "dashed: training" });
  const html = renderToString(h(ChartFigure, { chart, description: "From 1 to 2." }));
  assertWellFormed(html);
  assert.is(html.match(/<svg class="key"/g)!.length, 1);
  for (const part of [
    '<figcaption><span class="name">Loss</span><ul class="legend">',
    "a &lt; b<b></b></li>",
    '<li class="group">dashed: training</li><li class="at"></li>',
    '<div class="plot" role="img" aria-label="Loss. From 1 to 2."></div>',
  ])
    assert.ok(html.includes(part), `${part} is not in ${html}`);
});

const HOSTILE = "<a href='x'>&\"]]> \u0000\u0007\u001b\ud800\ufffe\uffff\u202e \u2028var(--c1) \n\t";

test("whatever a chart is given, its picture is valid, and nothing is outside of it", () => {
  const wild = [Number.NaN, Infinity, -Infinity, 1e300, -1e300, 0];
  const texts = ["", "x", "W".repeat(500), "many words ".repeat(50), HOSTILE];
  for (const text of texts) {
    const name = { title: text };
    for (const lines of [
      [],
      [line(0, 10, () => 1)],
      [line(1, 0, () => 0.7, { name: text })],
      [line(30, 10, () => 0.7, { name: text, group: text })],
      [line(3, 10, () => Number.NaN)],
      [{ ...line(6, 10, () => 1), ys: wild.slice(0, 4), xs: [0, 1, Number.NaN, 3] }],
      Array.from({ length: 40 }, (_, i) => line(50, 10, (share) => share * i, { name: `${i} ${text}`, color: i })),
    ])
      draw(lineChart(lines, { ...name, note: text, upper: { title: "epochs", per: 3 } }));
    for (const points of [
      [],
      [sized(text, 5, 0.5)],
      [sized(text, 5, 0.5, 0), sized(text, 5, 0.5, 0)],
      wild.map((value) => sized(text, 5, value)),
      wild.map((value) => sized(text, value, 0.5)),
      Array.from({ length: 40 }, (_, i) => sized(`${i} ${text}`, 3 ** i, i / 40)),
    ])
      draw({ ...overSize(points), ...name });
    const heat = (cells: HeatMap["cells"]) => draw({ ...HEAT, ...name, range: { low: 0.9, high: 0.9 }, cells });
    heat([]);
    heat(HEAT.cells);
  }
});

test("what XML forbids is replaced, and what it reserves is escaped", () => {
  const svg = draw(lineChart([line(3, 10, () => 1, { name: HOSTILE })], { title: HOSTILE }));
  const [title] = svgTexts(svg);
  assert.match(title!, "&lt;a href=");
  assert.match(title!, "]]&gt; \\u0000\\u0007\\u001b\ufffd\ufffd\ufffd\\u202e var(--c1)");
});
