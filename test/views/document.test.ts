import { PassThrough } from "node:stream";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/errors.ts";
import { showDuration } from "../../src/format.ts";
import { LOSSES_COLUMNS, METRICS_COLUMNS, type MetricsRow, toCsv } from "../../src/io/csv.ts";
import { type Block, toHtml } from "../../src/views/document.ts";
import { endBar } from "../../src/views/terminal/live-bar.ts";
import { createProgress, describeEvaluation, describeStep, type StepState } from "../../src/views/terminal/progress.ts";
import { renderTable } from "../../src/views/terminal/table.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertWellFormed } from "../helpers/xml.ts";

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
