import * as assert from "uvu/assert";
import { barChart } from "../../src/views/charts/bars.ts";
import { accuracyChart, accuracyOption, type CurvePoint, lossChart, lossOption } from "../../src/views/charts/lines.ts";
import { valueOverSize } from "../../src/views/charts/sweep-charts.ts";
import { test } from "../helpers/harness.ts";
import { assertWellFormed } from "../helpers/markup.ts";

/** `count` points from 0 to `end` examples. */
function curve(count: number, end: number, value: (part: number) => number): CurvePoint[] {
  return Array.from({ length: count }, (_, i) => ({
    examples_seen: (i / (count - 1)) * end,
    value: value(i / (count - 1)),
  }));
}

const drawnCurves = (count: number, end: number) => ({
  title: "LoRA <r 8 & alpha 16>",
  train: curve(count, end, (part) => 0.7 - 0.6 * part),
  validation: curve(count, end, (part) => 0.7 - 0.5 * part),
  examplesPerEpoch: 1040,
});

/** The texts of an SVG, in document order. */
const svgTexts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);

test("the loss chart: title, both axes with their names, legend, lines of the right length", () => {
  const svg = lossChart(drawnCurves(200, 20800));
  assertWellFormed(svg);
  assert.match(svg, /^<svg width="860" height="500"[^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  const texts = svgTexts(svg);
  for (const text of [
    "Loss: LoRA &lt;r 8 &amp; alpha 16&gt;",
    "train",
    "validation",
    "training examples seen",
    "epochs",
    "cross-entropy (nats)",
    "5,000",
    "20,000",
    "18",
    "20",
    "0.7",
  ])
    assert.ok(texts.includes(text), `${text} is not among ${texts.join(" | ")}`);
  // The end of the lower axis, 20,800, has no label: it would overlap with 20,000.
  assert.not.ok(texts.includes("20,800"));
  for (const color of ["#0072b2", "#d55e00"]) assert.match(svg, color);
});

test("marks with few points, none with many; the epoch axis has whole numbers for long and short runs", () => {
  const marks = (svg: string) => (svg.match(/<path[^>]*fill="#d55e00"/g) ?? []).length;
  assert.is(marks(lossChart(drawnCurves(5, 4160))), 6);
  assert.is(marks(lossChart(drawnCurves(200, 20800))), 1);
  for (const epochs of [2, 3, 7, 15, 24, 100]) {
    const { xAxis } = lossOption(drawnCurves(5, epochs * 1040));
    for (const { interval } of xAxis as { interval: number }[]) assert.ok(Number.isInteger(interval), `${interval}`);
  }
  assert.ok(svgTexts(lossChart(drawnCurves(5, 520))).includes("0.25"));
});

test("the accuracy chart counts in percent, up to 100", () => {
  const texts = svgTexts(accuracyChart(drawnCurves(5, 4160)));
  for (const text of ["100 %", "0 %", "accuracy"]) assert.ok(texts.includes(text), text);
  const low = (value: number) => {
    const points = curve(3, 100, () => value);
    const option = accuracyOption({ title: "", train: points, validation: points, examplesPerEpoch: 10 });
    return (option.yAxis as { min: number }).min;
  };
  assert.equal([1, 0.95, 0.5, 0.04, 0].map(low), [0.9, 0.9, 0.4, 0, 0]);
});

test("the same data gives the same bytes; another size gives another picture", () => {
  const curves = drawnCurves(21, 20800);
  assert.is(lossChart(curves), lossChart(curves));
  assert.match(lossChart(curves, { width: 400, height: 300 }), '<svg width="400" height="300"');
});

test("values that are not finite leave a gap; charts without points, or with one, are valid", () => {
  const train = curve(5, 400, (part) => (part === 0.5 ? Number.NaN : part));
  const svg = lossChart({ title: "gap", train, validation: [], examplesPerEpoch: 100 });
  assert.not.match(svg, /NaN|undefined|Infinity/);
  for (const points of [[], [{ examples_seen: 0, value: 0.7 }]])
    for (const chart of [lossChart, accuracyChart]) {
      const empty = chart({ title: "start", train: points, validation: points, examplesPerEpoch: 1040 });
      assertWellFormed(empty);
      assert.not.match(empty, /NaN|undefined|Infinity/);
    }
});

test("a bar chart shows every name and value, and missing values; the same data gives the same bytes", () => {
  const bars = {
    title: "Speed",
    note: "one machine",
    names: ["ours", "theirs & co"],
    highlight: 0,
    panels: [
      { title: "first pass", values: [123.4, 5.67] },
      { title: "warm", values: [99.94, null] },
    ],
  };
  const svg = barChart(bars);
  for (const text of ["Speed", "one machine", "theirs &amp; co", "first pass", "123", "5.7", "99.9", "not measured"])
    assert.ok(svg.includes(`>${text}<`), `${text} is missing`);
  assert.is(barChart(bars), svg);
});

test("results over size: the axis has every interval, and ends at the largest possible value", () => {
  const show = (value: number) => (100 * value).toFixed(1);
  for (const [low, high, top] of [
    [0.93, 0.99, "100.0"],
    [0.2, 1, "100.0"],
    [0.3, 0.6, "60.0"],
  ] as const) {
    const points = [
      { group: "a", trainable: 10, value: (low + high) / 2, interval: { low, high } },
      { group: "b", trainable: 1000, value: high - 0.01, interval: { low: high - 0.02, high } },
    ];
    const svg = valueOverSize("title", points, { name: "accuracy", most: 1, show });
    assertWellFormed(svg);
    const shown = svgTexts(svg);
    const ticks = shown.map(Number).filter((value) => value <= 100 && value > 0 && value % 10 !== 0.5);
    assert.ok(Math.min(...ticks) <= 100 * low, `${low}: ${shown}`);
    assert.ok(shown.includes(top) && !shown.includes("105.0"), `${high}: ${shown}`);
  }
});
