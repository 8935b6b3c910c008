/** Which columns are text and label: by requested names, by usual names, by their contents. */
import * as assert from "uvu/assert";
import { bytesReader } from "../../../src/data/corpus.ts";
import { loadDataset } from "../../../src/data/datasets.ts";
import { type ColumnChoice, findColumns, findKeys } from "../../../src/data/table/columns.ts";
import { labelNotes } from "../../../src/data/table/labels.ts";
import { nameList } from "../../../src/errors.ts";
import { plain } from "../../../src/setting.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

/** Text and label, by their names, and whether there is a header. */
async function found(sample: string[][], choice: ColumnChoice = {}): Promise<[string, string, boolean]> {
  const { text, label, textName, labelName, header, width } = await findColumns(sample, choice, "a.csv");
  assert.is(width, sample[0]!.length);
  if (header) assert.equal([sample[0]![text], sample[0]![label]], [textName, labelName]);
  else assert.equal([textName, labelName], ["text", "label"]);
  return header ? [textName, labelName, header] : [`${text}`, `${label}`, header];
}

/** These columns, and a row that says nothing. */
const named = (...names: string[]) => [names, names.map((_, i) => `${i}`)];

test("requested columns: an exact match is preferred to a match in another case", async () => {
  const sample = named("Text", "text", "Label", "label");
  for (const textColumn of ["Text", "text"])
    for (const labelColumn of ["Label", "label"])
      assert.equal(await found(sample, { textColumn, labelColumn }), [textColumn, labelColumn, true]);
  assert.equal(await found(sample, { textColumn: " TEXT", labelColumn: "LABEL " }), ["Text", "Label", true]);
  assert.equal(await found(named("kind", "words", "id"), { textColumn: "WORDS", labelColumn: "kind" }), [
    "words",
    "kind",
    true,
  ]);
});

test("one of two columns requested: the other one is the other column; a column is not used twice", async () => {
  assert.equal(await found(named("a", "b"), { textColumn: "a" }), ["a", "b", true]);
  assert.equal(await found(named("a", "b"), { textColumn: "b" }), ["b", "a", true]);
  assert.equal(await found(named("a", "b"), { labelColumn: "a" }), ["b", "a", true]);
  assert.equal(await found(named("text", "class", "label"), { textColumn: "label" }), ["label", "class", true]);
  assert.equal(await found(named("text", "message", "z"), { labelColumn: "text" }), ["message", "text", true]);
  await assertFails("same-column", ["give different columns with textColumn"], () =>
    found(named("a", "b", "c"), { textColumn: "a", labelColumn: "a" }),
  );
  await assertFails("no-such-column", ['no column "tetx"', 'did you mean "text"'], () =>
    found(named("text", "label"), { textColumn: "tetx" }),
  );
});

test("common names, in any case, with surrounding spaces, however their words are joined", async () => {
  for (const [text, label] of [
    ["text", "label"],
    ["body", "topic"],
    ["message", "category"],
    ["review", "sentiment"],
    ["content", "class"],
    ["sms", "spam"],
    ["v2", "v1"],
    [" Review_Text", "is-spam "],
    ["COMMENT TEXT", "Intent"],
  ] as const) {
    assert.equal(await found(named("id", text, label, "n")), [text, label, true]);
    assert.equal(await found(named(label, "", text)), [text, label, true]);
  }
});

test("several common names for one column are an error that lists the columns; otherwise a hint", async () => {
  const several = ["Several columns may be the text: text, message", "id, text, message, label", "textColumn"];
  await assertFails("ambiguous-column", several, () => found(named("id", "text", "message", "label")));
  await assertFails("ambiguous-column", ["may be the label: topic, class", "labelColumn"], () =>
    found(named("topic", "text", "class")),
  );
  await assertFails("ambiguous-column", ["may be the label: label, label"], () =>
    found(named("label", "label", "text")),
  );
  assert.equal(await found(named("text", "message", "label"), { textColumn: "message" }), ["message", "label", true]);
  assert.equal(await found(named("text", "message", "label"), { labelColumn: "text" }), ["message", "text", true]);
  await assertFails("column-not-recognized", ["recognized as the text", "textColumn"], () =>
    found(named("a", "b", "label")),
  );
  await assertFails("column-not-recognized", ["recognized as the label", "labelColumn"], () =>
    found(named("text", "b", "c")),
  );
  await assertFails("too-few-columns", ["add a column of labels, or separate"], () => found([["text"]]));
});

test("two columns without common names: the label has fewer or shorter values, of at most 64 characters", async () => {
  const names = ["a", "b"];
  assert.equal(await found([names, ["one", "x"], ["two", "x"]]), ["a", "b", true]);
  assert.equal(await found([names, ["x", "one"], ["x", "two"]]), ["b", "a", true]);
  assert.equal(await found([names, ["longer", "l"], ["text", "m"]]), ["a", "b", true]);
  assert.equal(await found([names, ["l", "longer"], ["m", "text"]]), ["b", "a", true]);
  assert.equal(await found([names, ["l", "t"]]), ["b", "a", true]);
  assert.equal(await found([names, ["t", "l".repeat(64)], ["u", "l".repeat(64)]]), ["a", "b", true]);
  await assertFails("column-not-recognized", ["recognized as the text"], () =>
    found([names, ["t", "l".repeat(65)], ["u", "l".repeat(65)]]),
  );
});

test("no header: the first row's label occurs again, or its text has four words", async () => {
  const below = ["ham ,see you", "spam,win", "spam,call now"].map((row) => row.split(","));
  const turned = (rows: string[][]) => rows.map((row) => row.toReversed());
  for (const [row, columns] of [
    ["ham,hello", ["1", "0", false]],
    ["eggs,one two three four", ["1", "0", false]],
    ["eggs, one two  three ", [" one two  three ", "eggs", true]],
    ["label,one two three four", ["one two three four", "label", true]],
  ] as const) {
    const first = row.split(",");
    const sample = [[...first], ...below];
    assert.equal(await found(sample), columns);
    const [text, label, header] = columns;
    assert.equal(await found(turned(sample)), header ? columns : [label, text, header]);
  }
  assert.equal(await found([["ham", "one two three four"]]), ["1", "0", false], "a file of one row");
  // Where a name is asked for there are names.
  assert.equal(await found([["ham", "hello"], ...below], { textColumn: "hello" }), ["hello", "ham", true]);
});

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

test("columns by their contents, whatever their names, and why they are those", async () => {
  const chosen = async (...columns: string[]) => (await findColumns(table(...columns), {}, "a.csv")).chosen;
  assert.is(
    await chosen("id:id", "Libelle:short", "Rubrique:five"),
    'text: column "Libelle" (the only texts), label: column "Rubrique" (5 values)',
  );
  // A pair is both texts also where they repeat; with a second column of texts it is said how both are read.
  for (const [first, second, label] of [
    ["question:five", "answer:five", "match:two"],
    ["text_a:short", "text_b:five", "same:flag"],
    ["query:five", "document:long", "relevance:five"],
    ["Frage:short", "Antwort:long", "passt:two"],
  ] as const) {
    const names = [first, second, label].map((column) => column.split(":")[0]!);
    const said = `text: columns "${names[0]}" and "${names[1]}" (by name), label: column "${names[2]}"`;
    assert.ok((await chosen(first, second, label))?.startsWith(said), await chosen(first, second, label));
  }
  assert.is(
    plain((await chosen("subject:short", "text:long", "label:two"))!),
    'text: column "text" (by name), label: column "label" (by name); ' +
      'for pairs of texts: textColumn "subject,text"',
  );
  const mine = async (...columns: string[]) => (await found(table(...columns))).slice(0, 2);
  assert.equal(await mine("subject:short", "body:long", "queue:five"), ["body", "queue"]);
  assert.equal(await mine("betreff:short", "inhalt:long", "art:five"), ["inhalt", "art"]);
  const ticket = ["id:id", "created:day", "status:two", "priority:five", "queue:five", "subject:short", "body:long"];
  assert.equal(await mine(...ticket, "agent:five", "language:two"), ["body", "queue"]);
  // Addresses are no texts, whatever their column is called.
  assert.equal(await mine("email:code", "nachricht:long", "price:price", "Catégorie ?:five"), [
    "nachricht",
    "Catégorie ?",
  ]);
  assert.equal(await mine("text:short", "message:long", "label:two"), ["message", "label"]);
  assert.equal(await mine("a=b:long", "c:flag", "d:empty"), ["a=b", "c"]);
  assert.equal(await mine("what:long", "which:lists", "n:id"), ["what", "which"]);
  assert.is(await chosen("id:id", "text:long", "label:two"), undefined);
  const { labelName } = await findColumns(
    table("id:id", "x:long", "y:two", "z:price"),
    { labelsAre: "score" },
    "a.csv",
  );
  assert.is(labelName, "z");
});

test("columns that leave it open: an error with those that may be meant", async () => {
  const open = (...columns: string[]) => found(table(...columns));
  await assertFails("column-not-recognized", ["as the label", '"state" (2 values), "kind" (5 values)'], () =>
    open("id:id", "x:long", "state:two", "kind:five"),
  );
  const both = 'for pairs of texts: textColumn "x,y"';
  await assertFails("column-not-recognized", ["as the text", '"x" (', '"y" (', both], () =>
    open("x:long", "y:long", "z:two"),
  );
  await assertFails("ambiguous-column", ["may be the label: topic, class", '"topic" (2 values)'], () =>
    open("text:long", "topic:two", "class:five"),
  );
});

test("a file that is sorted by its labels: rows from all of it say what its columns have", async () => {
  const rows = Array.from(
    { length: 3000 },
    (_, i) => `${i},"text, number ${i} of many",${"abc"[Math.floor(i / 1000)]}`,
  );
  const load = (content: string, encoding?: string) => {
    const bytes = encoding
      ? new Uint8Array(Uint16Array.from(content, (sign) => sign.charCodeAt(0)).buffer)
      : new TextEncoder().encode(content);
    return loadDataset({ file: bytesReader("a.csv", bytes) }, encoding ? { encoding } : {});
  };
  const table = `nr,words,kind of it\n${rows.join("\n")}\n`;
  for (const data of [await load(table), await load(table, "utf-16le")])
    assert.equal([data.labels, data.origin.labelColumn], [["a", "b", "c"], "kind of it"]);
});

test("a question as the header of two columns: all labels repeat but its own", async () => {
  const rows = table("What do you think of us:short", "Answer in one word:two");
  assert.equal(await found(rows), ["What do you think of us", "Answer in one word", true]);
  assert.equal(await found([["this is a text", "rare"], ...rows.slice(1, 6)]), ["0", "1", false]);
});

test("keys of JSON lines: common names, otherwise by their values", async () => {
  assert.equal(await findKeys([["text", "a", "label", "b"]], {}, "a.jsonl"), { textName: "text", labelName: "label" });
  const sample = [
    ["a", "ham", "b", "some words"],
    ["a", "ham", "b", "others"],
  ];
  const byValues = 'text: column "b" (the other one), label: column "a" (fewer or shorter values)';
  assert.equal(await findKeys(sample, {}, "a.jsonl"), { textName: "b", labelName: "a", chosen: byValues });
  await assertFails("too-few-columns", () => findKeys([["a", "1"]], {}, "a.jsonl"));
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
