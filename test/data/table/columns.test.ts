/** Which columns are text and label: by requested names, by usual names, by their contents. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { nameList } from "../../../src/core/errors.ts";
import { plain } from "../../../src/core/setting.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { findColumns, type TableChoice } from "../../../src/data/table/columns.ts";
import { labelNotes } from "../../../src/labels/cells.ts";
import { CLASS } from "../../../src/labels/class.ts";
import { NONE } from "../../../src/labels/none.ts";
import { SCORE } from "../../../src/labels/score.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { fileOf } from "../../helpers/tiny.ts";

/** Columns and rows: "a|b" with a row that says nothing, or with its rows "a|b/one|x", or the rows. */
type Sample = string | string[][];
function sampleOf(sample: Sample): string[][] {
  if (typeof sample !== "string") return sample;
  const rows = sample.split("/").map((row) => row.split("|"));
  return rows.length > 1 ? rows : [...rows, rows[0]!.map((_, i) => `${i}`)];
}

/** The table's labels are classes unless a choice says other ones. */
type Choice = Partial<TableChoice>;

/** Text (of a pair both, with + between them) and label, by their names; without a header by their numbers. */
function found(sample: Sample, choice: Choice = {}): string {
  const rows = sampleOf(sample);
  const { text, label, textName, secondName, labelName, header, width } = findColumns(
    { rows },
    { labelsAre: CLASS, ...choice },
    "a.csv",
  );
  assert.is(width, rows[0]!.length);
  if (!header) assert.equal([textName, label < 0 ? "label" : labelName], ["text", "label"]);
  else assert.equal([rows[0]![text], rows[0]![label] ?? ""], [textName, labelName]);
  return header ? `${[textName, secondName ?? []].flat().join("+")}|${labelName}` : `${text}|${label}`;
}

const WORDS = ["printer", "invoice", "login", "screen", "late", "order", "refund", "broken", "slow", "wrong"];
/** A text of some words, different in each row. */
const words = (row: number, count: number) =>
  Array.from({ length: count }, (_, i) => WORDS[(7 * row + 3 * i + i * row) % WORDS.length]).join(" ") + row;
/** What a column has in a row. */
const CELLS = {
  id: (row: number) => `${1000 + row}`,
  code: (row: number) => `T-${row}@x.org`,
  day: (row: number) => `2024-01-${10 + (row % 20)} 10:00`,
  price: (row: number) => `${row},5`,
  short: (row: number) => words(row, 3),
  long: (row: number) => words(row, 20),
  empty: () => "",
  two: (row: number) => ["open", "closed"][row % 2]!,
  five: (row: number) => `kind ${row % 5}`,
  flag: (row: number) => `${Number(row % 3 === 0)}`,
  lists: (row: number) => [0, 1, 2, 3].filter((i) => (row >> i) & 1).map((i) => `l${i}`).join(", "), // biome-ignore format: one
};
/** A table of these columns, each given as "name:what it has", "name" is by itself. */
const table = (...columns: string[]) => {
  const parts = columns.map((column) => column.split(":") as [string, keyof typeof CELLS]);
  return [
    parts.map(([name]) => name),
    ...Array.from({ length: 40 }, (_, row) => parts.map(([, kind]) => CELLS[kind](row))),
  ];
};

const BELOW = "/ham |see you/spam|win/spam|call now";
const TURNED = "/see you|ham /win|spam/call now|spam";
const long = "l".repeat(64);
const ONE = { labelsAre: NONE, likelyTextColumn: "Body text" } as const;
const BOTH = { labelsAre: NONE, isPair: true, likelyTextColumn: "frage,antwort" } as const;
const LABELLESS = { labelsAre: NONE, isPair: false } as const;

/** The text and the label among columns. */
const FOUND: (readonly [sample: Sample, expected: string, choice?: Choice])[] = [
  // An exact match is preferred to a match in another case.
  ...["Text", "text"].flatMap((textColumn) =>
    ["Label", "label"].map(
      (labelColumn) => ["Text|text|Label|label", `${textColumn}|${labelColumn}`, { textColumn, labelColumn }] as const,
    ),
  ),
  ["Text|text|Label|label", "Text|Label", { textColumn: " TEXT", labelColumn: "LABEL " }],
  ["kind|words|id", "words|kind", { textColumn: "WORDS", labelColumn: "kind" }],
  // Of two columns the other one is the other column; a column is not used twice.
  ["a|b", "a|b", { textColumn: "a" }],
  ["a|b", "b|a", { textColumn: "b" }],
  ["a|b", "b|a", { labelColumn: "a" }],
  ["text|class|label", "label|class", { textColumn: "label" }],
  ["text|message|z", "message|text", { labelColumn: "text" }],
  ["text|message|label", "message|label", { textColumn: "message" }],
  // Common names, in any case, with surrounding spaces, however their words are joined.
  ...[
    ...["text|label", "body|topic", "message|category", "review|sentiment", "content|class", "sms|spam", "v2|v1"],
    ...[" Review_Text|is-spam ", "COMMENT TEXT|Intent"],
  ].flatMap((pair): [string, string][] => [
    [`id|${pair}|n`, pair],
    [pair.split("|").toReversed().join("||"), pair],
  ]),
  // Pairs by the hub's names, in their order; three of them are none. Two names with a comma, which a name may have.
  ["label|hypothesis|premise", "premise+hypothesis|label"],
  ["Sentence1|sentence2|label|idx", "Sentence1+sentence2|label"],
  ["text_a|text_b|label", "text_a+text_b|label"],
  ["question|answer|text|label", "text|label", { textColumn: "text" }],
  ["question|answer|label", "question|label", { textColumn: "question" }],
  ["question|answer", "question|answer"],
  ["question|answer|x", "question|answer", { labelColumn: "answer" }],
  ["question|answer|premise|label", "question|label"],
  ["q|a, b|y", "q+a, b|y", { textColumn: "q, a, b", labelColumn: "y" }],
  ["q|a, b|y", "a, b+q|y", { textColumn: "a, b,q", labelColumn: "y" }],
  ["q|a, b|y", "a, b|y", { textColumn: "a, b", labelColumn: "y" }],
  // Of two columns without common names the label has fewer or shorter values, of at most 64 characters.
  ["a|b/one|x/two|x", "a|b"],
  ["a|b/x|one/x|two", "b|a"],
  ["a|b/longer|l/text|m", "a|b"],
  ["a|b/l|longer/m|text", "b|a"],
  ["a|b/l|t", "b|a"],
  [`a|b/t|${long}/u|${long}`, "a|b"],
  // Without a header the first row's label occurs again, or its text has four words.
  [`ham|hello${BELOW}`, "1|0"],
  [`hello|ham${TURNED}`, "0|1"],
  [`eggs|one two three four${BELOW}`, "1|0"],
  [`one two three four|eggs${TURNED}`, "0|1"],
  [`eggs| one two  three ${BELOW}`, " one two  three |eggs"],
  [` one two  three |eggs${TURNED}`, " one two  three |eggs"],
  [`label|one two three four${BELOW}`, "one two three four|label"],
  [`one two three four|label${TURNED}`, "one two three four|label"],
  [[["ham", "one two three four"]], "1|0"],
  // Where a name is asked for there are names.
  [`ham|hello${BELOW}`, "hello|ham", { textColumn: "hello" }],
  // A question as the header of two columns: all labels repeat but its own.
  [table("What do you think of us:short", "Answer in one word:two"), "What do you think of us|Answer in one word"],
  [[["this is a text", "rare"], ...table("a:short", "b:two").slice(1, 6)], "0|1"],
  // By their contents, whatever their names. Addresses are no texts, whatever their column is called.
  [table("subject:short", "body:long", "queue:five"), "body|queue"],
  [table("betreff:short", "inhalt:long", "art:five"), "inhalt|art"],
  [table(..."id:id|created:day|status:two|priority:five|queue:five|subject:short|body:long".split("|")), "body|queue"],
  [table("email:code", "nachricht:long", "price:price", "Catégorie ?:five"), "nachricht|Catégorie ?"],
  [table("text:short", "message:long", "label:two"), "message|label"],
  [table("a=b:long", "c:flag", "d:empty"), "a=b|c"],
  [table("what:long", "which:lists", "n:id"), "what|which"],
  [table("id:id", "x:long", "y:two", "z:price"), "x|z", { labelsAre: SCORE }],
  // Texts to classify: the training's column is a default; pairs where the model, unless it is PEFT's, says so.
  ["text|body_text", "body_text|", ONE],
  ["text|body_text", "text|", { ...ONE, textColumn: "text" }],
  ["id|message", "message|", ONE],
  ["antwort|frage|text", "frage+antwort|", BOTH],
  ["question|answer", "question+answer|", BOTH],
  ["x|y", "y+x|", { ...BOTH, textColumn: "y,x" }],
  ["question|answer", "question|", LABELLESS],
  ["x|y", "y+x|", { labelsAre: NONE, textColumn: "y,x" }],
  ["ham|see you at lunch/spam|you have won a prize/ham|see you", "1|-1", ONE],
];

test("columns by their names: requested, the other one of two, common names, pairs; by what they have", () => {
  for (const [sample, expected, choice] of FOUND) assert.is(found(sample, choice), expected, JSON.stringify(sample));
});

test("columns that leave it open are an error that lists those that may be meant", async () => {
  const several = ["Several columns may be the text: text, message", "id, text, message, label", "textColumn"];
  const pair = ["as the text", '"x" (', '"y" (', 'for pairs of texts: textColumn "x,y"'];
  for (const [code, words, sample, choice] of [
    ["same-column", ["give different columns"], "a|b|c", { textColumn: "a", labelColumn: "a" }],
    ["same-column", ["both texts"], "q|a|y", { textColumn: "q,q", labelColumn: "y" }],
    ["same-column", ["Text and label"], "q|a|y", { textColumn: "q,y", labelColumn: "y" }],
    ["no-such-column", ['"questoin"'], "q|a|y", { textColumn: "questoin,q", labelColumn: "y" }],
    ["no-such-column", ['no column "tetx"', 'did you mean "text"'], "text|label", { textColumn: "tetx" }],
    ["ambiguous-column", several, "id|text|message|label"],
    ["ambiguous-column", ["may be the label: topic, class", "labelColumn"], "topic|text|class"],
    ["ambiguous-column", ["may be the label: label, label"], "label|label|text"],
    ["column-not-recognized", ["recognized as the text", "textColumn"], "a|b|label"],
    ["column-not-recognized", ["recognized as the label", "labelColumn"], "text|b|c"],
    ["too-few-columns", ["add a column of labels, or separate"], [["text"]]],
    // A label of more than 64 characters.
    ["column-not-recognized", ["recognized as the text"], `a|b/t|${long}l/u|${long}l`], // biome-ignore format: short
    [
      "column-not-recognized",
      ["as the label", '"state" (2 values), "kind" (5 values)'],
      table("id:id", "x:long", "state:two", "kind:five"),
    ],
    ["column-not-recognized", pair, table("x:long", "y:long", "z:two")],
    ["ambiguous-column", ["topic, class", '"topic" (2 values)'], table("text:long", "topic:two", "class:five")],
    ["column-not-recognized", ["two columns", "FIRST,SECOND"], "frage|x", { labelsAre: NONE, isPair: true }],
    ["column-not-recognized", ["two columns"], "x|y", { labelsAre: NONE, isPair: true, textColumn: "x" }],
    ["wrong-text-count", ["single texts"], "x|y", { ...LABELLESS, textColumn: "x,y" }],
  ] as [ErrorCode, string[], Sample, Choice?][])
    await assertFails(code, words, () => found(sample, choice));
});

test("columns by their contents, whatever their names, and why they are those", async () => {
  const chosen = async (columns: string) =>
    plain(findColumns({ rows: table(...columns.split("|")) }, { labelsAre: CLASS }, "a.csv").chosen ?? "");
  for (const [columns, expected] of [
    [
      "id:id|Libelle:short|Rubrique:five",
      'text: column "Libelle" (the only texts), label: column "Rubrique" (5 values)',
    ],
    [
      "subject:short|text:long|label:two",
      'text: column "text" (by name), label: column "label" (by name); for pairs of texts: textColumn "subject,text"',
    ],
    ["x:two|y:short", 'text: column "y" (the other one), label: column "x" (fewer or shorter values)'],
    ["id:id|text:long|label:two", ""],
  ] as const)
    assert.is(await chosen(columns), expected);
  // A pair is both texts also where they repeat; with a second column of texts it is said how both are read.
  for (const columns of [
    "question:five|answer:five|match:two",
    "text_a:short|text_b:five|same:flag",
    "query:five|document:long|relevance:five",
    "Frage:short|Antwort:long|passt:two",
  ]) {
    const [first, second, label] = columns.split("|").map((column) => column.split(":")[0]!);
    const said = `text: columns "${first}" and "${second}" (by name), label: column "${label}"`;
    assert.ok((await chosen(columns)).startsWith(said), await chosen(columns));
  }
});

test("a file that is sorted by its labels: rows from all of it say what its columns have", async () => {
  const rows = Array.from(
    { length: 3000 },
    (_, i) => `${i},"text, number ${i} of many",${"abc"[Math.floor(i / 1000)]}`,
  );
  const content = `nr,words,kind of it\n${rows.join("\n")}\n`;
  for (const [bytes, options] of [
    [Buffer.from(content), {}],
    [Buffer.from(content, "utf16le"), { encoding: "utf-16le" }],
  ] as const) {
    const data = await loadDataset({ file: fileOf("a.csv", bytes) }, options);
    assert.equal([data.labels, data.origin.labelColumn], [["a", "b", "c"], "kind of it"]);
  }
});

test("notes about the labels: spelled in several ways, more than 20", () => {
  const notes = (...labels: string[]) => labelNotes(Object.fromEntries(labels.map((label, i) => [label, i + 2])));
  assert.equal(notes("yes", "no", "not spam", "C++"), []);
  const [variants, ...more] = notes("No", "yes", "no", "not  spam", "Not spam");
  assert.match(variants!, /only in case or white space: "No" \(2\), "no" \(4\)/);
  assert.is(more.length, 1);
  assert.match(more[0]!, /"not {2}spam" \(5\), "Not spam" \(6\)/);
  const classes = (count: number) => notes(...Array.from({ length: count }, (_, i) => `c${i}`));
  assert.equal(classes(20), []);
  assert.match(classes(21)[0]!, /^21 classes: c0, .*label column is the right one/);
});

test("names in a message: at most twelve, of at most 100 characters", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);
  assert.is(nameList([]), "nothing");
  assert.is(nameList(names(12)), names(12).join(", "));
  assert.is(nameList(names(13)), `${names(12).join(", ")} and 1 more`);
  assert.is(nameList(["a".repeat(100), "b".repeat(101)]), `${"a".repeat(100)}, ${"b".repeat(100)}…`);
});
