/** What is printed: tables, lines, progress. */
import { PassThrough } from "node:stream";
import stringWidth from "string-width";
import * as assert from "uvu/assert";
import { digits, formatDuration } from "../../src/core/format.ts";
import { setting } from "../../src/core/setting.ts";
import type { Block, Table } from "../../src/document/blocks.ts";
import { endBar } from "../../src/views/terminal/live-bar.ts";
import { createProgress, describeEvaluation, describeStep } from "../../src/views/terminal/progress.ts";
import { renderBlocks, renderTable } from "../../src/views/terminal/render.ts";
import { oneLine, wrapLines } from "../../src/views/terminal/text.ts";
import { terminalWidth, textWidth } from "../../src/views/terminal/width.ts";
import { test } from "../helpers/harness.ts";

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
      { title: "mode", value: ({ mode }) => mode },
      { title: "rank", value: ({ rank }) => rank },
      { title: "test acc", value: ({ accuracy }) => accuracy, format: digits(4) },
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
      "│ 最後 │    – │   0.8733 │",
      "└──────┴──────┴──────────┘",
    ].join("\n"),
  );
});

test("a table: a setting in a heading is named by its flag", () => {
  const table = renderTable<string>([{ title: setting("dtype"), value: (text) => text }], ["q8"]);
  assert.match(table, "--dtype");
});

test("a table: thousands of rows or columns in linear time; the widest texts are truncated, numbers are not", () => {
  const rows = Array.from({ length: 5000 }, (_, i) => i);
  const long = renderTable<number>([{ title: "n", value: (i) => `row ${i}` }], rows);
  assert.is(long.split("\n").length, 5004);
  const columns = rows.slice(0, 1500).map((i) => ({ title: `c${i}`, value: (row: number) => row + i }));
  renderTable<number>(columns, rows.slice(0, 20), Infinity);
  const table = renderTable<string>(
    [
      { title: "text", value: (text) => text },
      { title: "a head much longer than its numbers", value: () => 1234567 },
    ],
    ["x".repeat(100), "short"],
    50,
  );
  for (const line of table.split("\n")) assert.is(line.length, 50, line);
  assert.match(table, "1234567");
  assert.match(table, "…");
});

test("blocks: captions, notes, details, a table with its first rows; no figures", () => {
  const rows = Array.from({ length: 15 }, (_, i) => [`row ${i}`, i / 10]);
  const table: Table = {
    ...{ kind: "table", name: "t", caption: "Numbers" },
    columns: [
      { title: "name", key: "name" },
      { title: "value", key: "value" },
      { title: null, key: "hidden" },
    ],
    rows,
  };
  const chart = {
    ...({ kind: "scatter", title: "f", points: [] } as const),
    ...{ x: { title: "", show: String }, y: { title: "", show: String } },
  };
  const blocks: Block[] = [
    { kind: "heading", level: 2, text: "A \u001b[2J heading" },
    { kind: "details", title: "Closed in a page", blocks: [table] },
    { kind: "figure", name: "f", caption: "A figure", chart },
    { kind: "note", text: "a note that is broken at the width" },
  ];
  const lines = renderBlocks(blocks, 24).split("\n");
  assert.equal(lines.slice(0, 3), ["A \\u001b[2J heading", "Numbers:", "┌────────┬───────┐"]);
  assert.equal(lines.slice(5, 7), ["│ row 0  │     0 │", "│ row 1  │   0.1 │"]);
  assert.equal(lines.slice(-4), ["└────────┴───────┘", "and 3 more", "note: a note that is", "  broken at the width"]);
});

test("a table that does not fit is continued below itself; short texts stay whole", () => {
  const cells = ["a verdict of thirty characters", "one more of them, which is short"];
  const columns = [
    { title: "a name that may be truncated", value: () => "x" },
    ...cells.map((text, i) => ({ title: `${i}`, value: () => text })),
  ];
  const lines = renderTable(columns, [0], 60).split("\n");
  assert.ok(Math.max(...lines.map((line) => line.length)) <= 60, lines.join("\n"));
  for (const text of cells)
    assert.ok(
      lines.some((line) => line.includes(`│ ${text} │`)),
      text,
    );
  assert.is(lines.filter((line) => line.startsWith("│ x ")).length, 2);
});

test("one line: truncated by columns, with wide characters and combining marks", () => {
  assert.is(oneLine("a\t b\n c", 10), "a b c");
  assert.is(oneLine("abcdef", 6), "abcdef");
  assert.is(oneLine("abcdefg", 6), "abcde…");
  assert.is(oneLine("最後最後", 6), "最後…");
  assert.is(oneLine(`e${"\u0301".repeat(1000)}`, 6).length < 30, true);
  assert.is(oneLine("\u001b[0m", 20), "\\u001b[0m");
});

test("lines: broken between words at the terminal's width, but for tables and behind a number", () => {
  const text = "trainable: 12 of 3,456 parameters are trained\n│ a table that is wide │";
  assert.is(wrapLines(text, undefined), text);
  assert.is(wrapLines(text, 20), "trainable: 12 of\n  3,456 parameters\n  are trained\n│ a table that is wide │");
  assert.is(wrapLines("unbreakable/path/without/spaces x", 10), "unbreakable/path/without/spaces\n  x");
});

test("the columns of a text are string-width's, for every character up to the emoji", () => {
  for (let code = 0; code < 0x2600; code++) {
    const text = `a${String.fromCharCode(code)}b`;
    assert.is(textWidth(text), stringWidth(text), `U+${code.toString(16)}`);
  }
  assert.equal(["👩‍👩‍👧", "最後", "e\u0301"].map(textWidth), [2, 4, 1]);
});

test("a terminal of width 0 does not say how wide it is", () => {
  assert.is(terminalWidth({ columns: 0 }), undefined);
  assert.is(terminalWidth({}), undefined);
  assert.is(terminalWidth({ columns: 40 }), 40);
  assert.match(run(50, true, 0), "█ 50/50  epoch 2  loss 0.2500  accuracy 95.5 %");
});

test("durations", () => {
  assert.equal([0, 7.4, 59.6, 750, 3723, -1].map(formatDuration), [
    "0 s",
    "7 s",
    "1 min 00 s",
    "12 min 30 s",
    "1 h 02 min",
    "0 s",
  ]);
});

const state = (step: number) => ({
  ...{ epoch: 1.5, loss: 0.25, examplesPerSecond: 42.4, secondsLeft: 75 },
  ...(step > 2 ? { accuracy: 0.955 } : {}),
});

function run(total: number, isTTY: boolean, columns = 200, between = () => {}): string {
  const stream = Object.assign(new PassThrough(), { isTTY, columns });
  const progress = createProgress({ total, stream });
  for (let step = 1; step < total; step++) progress.update(step, describeStep("classification", state(step)));
  between();
  progress.update(total, describeStep("classification", state(total)));
  progress.stop();
  return String(stream.read());
}

test("an evaluation is told in a line: what is not known yet, or does not exist, is left out", () => {
  const val = { rows: 8, loss: 0.5, accuracy: 0.75 };
  const told = (step: number, secondsLeft: number, more: object) =>
    describeEvaluation("classification", { step, val, ...more }, 40, secondsLeft);
  assert.is(told(0, Infinity, {}), "step 0/40  validation loss 0.5000  accuracy 75.0 %");
  assert.is(
    told(20, 75, { train: { loss: 0.25, accuracy: 1 } }),
    "step 20/40  loss 0.2500  accuracy 100.0 %  validation loss 0.5000  accuracy 75.0 %  1 min 15 s left",
  );
  assert.is(told(40, 0, { val: { rows: 8, loss: 3 } }), "step 40/40  validation loss 3.0000");
});

test("progress without a terminal: few plain lines, including the last step", () => {
  const lines = run(1000, false).trimEnd().split("\n");
  assert.is(lines.length, 21);
  assert.is(lines[0], "step 1/1000  epoch 2  loss 0.2500  1 min 15 s left  42 examples/s");
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
