import { PassThrough } from "node:stream";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/errors.ts";
import { showDuration } from "../../src/format.ts";
import { LOSSES_COLUMNS, METRICS_COLUMNS, type MetricsRow, toCsv } from "../../src/io/csv.ts";
import { barChart } from "../../src/views/charts/bars.ts";
import { accuracyChart, accuracyOption, type CurvePoint, lossChart, lossOption } from "../../src/views/charts/lines.ts";
import { valueOverSize } from "../../src/views/charts/sweep-charts.ts";
import { type Block, toHtml } from "../../src/views/document.ts";
import { endBar } from "../../src/views/terminal/live-bar.ts";
import { createProgress, describeEvaluation, describeStep, type StepState } from "../../src/views/terminal/progress.ts";
import { renderTable } from "../../src/views/terminal/table.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

test("CSV: RFC 4180 quoting, line ends, empty fields, numbers with full precision", () => {
  const rows = [
    { a: 'say "hi", then', "b,c": 0.1 + 0.2 },
    { a: "two\nlines", "b,c": null },
    { a: " space", "b,c": undefined },
    { a: true, "b,c": Number.NaN },
  ];
  assert.is(
    toCsv(["a", "b,c"], rows),
    'a,"b,c"\r\n"say ""hi"", then",0.30000000000000004\r\n"two\nlines",\r\n" space",\r\ntrue,NaN\r\n',
  );
  assert.is(toCsv(["a"], []), "a\r\n");
});

test("CSV: a row that does not fit the columns is refused", async () => {
  const columns: readonly string[] = ["a", "b"];
  await assertFails(FormatError, "wrong-field-count", ["row 2"], () =>
    toCsv(columns, [
      { a: 1, b: 2 },
      { a: 1, b: 2, c: 3 },
    ]),
  );
  await assertFails(FormatError, "wrong-field-count", ["row 1", "b"], () => toCsv(columns, [{ a: 1 }]));
});

test("metrics.csv and losses.csv have the experiment's columns, and macro F1", () => {
  const row = Object.fromEntries(METRICS_COLUMNS.map((column, i) => [column, i])) as MetricsRow;
  assert.is(
    toCsv(METRICS_COLUMNS, [row]),
    "rank,alpha,trainable_layers,lr,weight_decay,num_epochs,pre_train_acc,pre_val_acc,pre_test_acc,final_train_acc," +
      "final_val_acc,final_test_acc,train_loss_last,val_loss_last,examples_seen,minutes,final_train_macro_f1,final_val_macro_f1," +
      "final_test_macro_f1\r\n0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18\r\n",
  );
  assert.is(
    LOSSES_COLUMNS.join(),
    "step,epoch,examples_seen,lr,train_loss,val_loss,train_acc,val_acc,val_macro_f1,grad_norm",
  );
});

test("a table: right-aligned numbers, digits, a dash for null, wide characters", () => {
  interface Row {
    mode: string;
    rank: number | null;
    accuracy: number;
  }
  const rows: Row[] = [
    { mode: "lora", rank: 8, accuracy: 0.97 },
    { mode: "最後", rank: null, accuracy: 0.87333 },
  ];
  const table = renderTable<Row>(
    [
      { header: "mode", value: ({ mode }) => mode },
      { header: "rank", value: ({ rank }) => rank },
      { header: "test acc", value: ({ accuracy }) => accuracy, digits: 4 },
    ],
    rows,
  );
  assert.is(
    table,
    [
      "┌──────┬──────┬──────────┐",
      "│ mode │ rank │ test acc │",
      "├──────┼──────┼──────────┤",
      "│ lora │    8 │   0.9700 │",
      "│ 最後 │    - │   0.8733 │",
      "└──────┴──────┴──────────┘",
    ].join("\n"),
  );
});

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

/** Checks that elements are nested correctly and text is escaped. */
function assertWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, close, name, rest] of svg.matchAll(/<(\/?)([a-z]+)([^<>]*)>/gi)) {
    if (close) assert.is(open.pop(), name);
    else if (!rest!.endsWith("/")) open.push(name!);
  }
  assert.equal(open, []);
  assert.not.match(svg.replace(/<[^<>]*>/g, ""), /[<>]|&(?!(amp|lt|gt|quot|#\d+);)/);
}

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

const state = (step: number): StepState => ({
  epoch: 2,
  loss: step > 1 ? 0.25 : null,
  accuracy: step > 2 ? 0.955 : null,
  examplesPerSecond: 42.4,
  secondsLeft: 75,
});

function run(total: number, isTTY: boolean, columns = 200, between = () => {}): string {
  const stream = Object.assign(new PassThrough(), { isTTY, columns });
  const progress = createProgress({ total, stream });
  for (let step = 1; step < total; step++) progress.update(step, describeStep(state(step)));
  between();
  progress.update(total, describeStep(state(total)));
  progress.stop();
  return String(stream.read());
}

test("an evaluation is told in a line: what is not known yet, or does not exist, is left out", () => {
  const val = { loss: 0.5, accuracy: 0.75 };
  assert.is(
    describeEvaluation({ step: 0, steps: 40, val, secondsLeft: Infinity }),
    "step 0/40  validation loss 0.5000  accuracy 75.0 %",
  );
  const train = { loss: 0.25, accuracy: 1 };
  assert.is(
    describeEvaluation({ step: 20, steps: 40, train, val, secondsLeft: 75 }),
    "step 20/40  loss 0.2500  accuracy 100.0 %  validation loss 0.5000  accuracy 75.0 %  1 min 15 s left",
  );
  assert.is(
    describeEvaluation({ step: 40, steps: 40, val: { loss: 3, accuracy: null }, secondsLeft: 0 }),
    "step 40/40  validation loss 3.0000",
  );
});

test("progress without a terminal: few plain lines, including the last step", () => {
  const lines = run(1000, false).trimEnd().split("\n");
  assert.is(lines.length, 21);
  assert.is(lines[0], "step 1/1000  epoch 2  1 min 15 s left  42 examples/s");
  assert.is(lines.at(-1), "step 1000/1000  epoch 2  loss 0.2500  accuracy 95.5 %  1 min 15 s left  42 examples/s");
  assert.not.match(lines.join(""), "\u001b");
  assert.is(run(3, false).trimEnd().split("\n").length, 3);
});

test("progress on a terminal: one live line, with the last state left visible", () => {
  const output = run(50, true);
  assert.match(output, "█".repeat(24));
  assert.match(output, "50/50  epoch 2  loss 0.2500  accuracy 95.5 %  1 min 15 s left  42 examples/s");
  assert.is(output.trimEnd().split("\n").length, 1);
});

test("progress on a narrow terminal: the last parts are left out, and there is room for ^C; other words end the line", () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the terminal's codes
  const plain = (output: string) => output.split(/\u001b[78]|\u001b\[\w+|\n/).filter((part) => part.trim());
  const lines = plain(run(1776, true, 80));
  assert.is(Math.max(...lines.map((line) => line.length)), 77);
  assert.match(lines.at(-1)!, /^█{10,} 1776\/1776 {2}epoch 2 {2}loss 0.2500 {2}accuracy 95.5 % {2}1 min 15 s left$/);
  assert.match(plain(run(1776, true, 40)).at(-1)!, /^█+ 1776\/1776 {2}epoch 2$/);
  const output = run(50, true, 80, endBar);
  assert.is(output.trimEnd().split("\n").length, 2);
  // A process that is killed cannot undo these.
  for (const code of ["[?25l", "[?7l"]) assert.not.ok(output.includes(code), code);
});

test("durations", () => {
  assert.equal([0, 7.4, 59.6, 750, 3723, -1].map(showDuration), [
    "0 s",
    "7 s",
    "1 min 00 s",
    "12 min 30 s",
    "1 h 02 min",
    "0 s",
  ]);
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

test("each kind of block as well-formed HTML", () => {
  const blocks: Block[] = [
    { kind: "heading", level: 2, text: "a < b" },
    { kind: "text", text: "words" },
    { kind: "table", name: "t", header: ["name", "count"], rows: [["x", 1]] },
    { kind: "figure", caption: "curve", svg: "<svg></svg>", name: "f" },
  ];
  const html = toHtml("title", blocks);
  const body = html.slice(html.indexOf("<body>"), html.indexOf("</body>") + 7);
  assertWellFormed(body);
  for (const part of [
    "<h2>a &lt; b</h2>",
    "<p>words</p>",
    '<thead><tr><th>name</th><th class="n">count</th></tr></thead>',
    '<tr><td>x</td><td class="n">1</td></tr>',
    '<p class="file"><a href="figures/t.csv">t.csv</a></p>',
    '<figure role="img" aria-label="curve">\n<svg></svg>\n<figcaption>curve</figcaption>\n</figure>',
  ])
    assert.ok(body.includes(part), part);
});
