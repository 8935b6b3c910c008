/** Which columns are text and label: by the names that were asked for, by usual names, by what stands in them. */
import * as assert from "uvu/assert";
import { type ColumnChoice, findColumns, findKeys, labelDoubt } from "../src/data/columns.ts";
import { DataError, nameList } from "../src/errors.ts";
import { assertFails } from "./border.ts";
import { test } from "./harness.ts";

/** Text and label, by their names, and whether there is a header. */
function found(sample: string[][], choice: ColumnChoice = {}): [string, string, boolean] {
  const { text, label, textName, labelName, header, width } = findColumns(sample, choice, "a.csv");
  assert.is(width, sample[0]!.length);
  if (header) assert.equal([sample[0]![text], sample[0]![label]], [textName, labelName]);
  else assert.equal([textName, labelName], ["text", "label"]);
  return header ? [textName, labelName, header] : [`${text}`, `${label}`, header];
}

/** These columns, and a row that says nothing. */
const named = (...names: string[]) => [names, names.map((_, i) => `${i}`)];

test("requested columns: an exact match is preferred to a match in another case", () => {
  const sample = named("Text", "text", "Label", "label");
  for (const textColumn of ["Text", "text"])
    for (const labelColumn of ["Label", "label"])
      assert.equal(found(sample, { textColumn, labelColumn }), [textColumn, labelColumn, true]);
  assert.equal(found(sample, { textColumn: " TEXT", labelColumn: "LABEL " }), ["Text", "Label", true]);
  assert.equal(found(named("kind", "words", "id"), { textColumn: "WORDS", labelColumn: "kind" }), [
    "words",
    "kind",
    true,
  ]);
});

test("one of two columns requested: the other one is the other column; a column is not used twice", async () => {
  assert.equal(found(named("a", "b"), { textColumn: "a" }), ["a", "b", true]);
  assert.equal(found(named("a", "b"), { textColumn: "b" }), ["b", "a", true]);
  assert.equal(found(named("a", "b"), { labelColumn: "a" }), ["b", "a", true]);
  assert.equal(found(named("text", "class", "label"), { textColumn: "label" }), ["label", "class", true]);
  assert.equal(found(named("text", "message", "z"), { labelColumn: "text" }), ["message", "text", true]);
  await assertFails(DataError, ["the same column"], () =>
    found(named("a", "b", "c"), { textColumn: "a", labelColumn: "a" }),
  );
  await assertFails(DataError, ['no column "tetx"', 'did you mean "text"'], () =>
    found(named("text", "label"), { textColumn: "tetx" }),
  );
});

test("common names: the most likely of each pair, in any case, with surrounding spaces; otherwise a hint", async () => {
  const texts = ["text", "message", "sms", "content", "body", "v2", "sentence"];
  const labels = ["label", "class", "category", "target", "v1", "spam"];
  for (const [usual, other, at] of [
    [texts, "label", 0],
    [labels, "text", 1],
  ] as const)
    for (const [i, likelier] of usual.entries()) {
      assert.is(
        found(named("id", ` ${likelier.toUpperCase()} `, other))
          [at].trim()
          .toLowerCase(),
        likelier,
      );
      for (const name of usual.slice(i + 1)) assert.is(found(named(name, likelier, other))[at], likelier);
    }
  await assertFails(DataError, ["recognized as the text", "--text-column"], () => found(named("a", "b", "label")));
  await assertFails(DataError, ["recognized as the label", "--label-column"], () => found(named("text", "b", "c")));
  await assertFails(DataError, ["two columns"], () => found([["text"]]));
});

test("two columns without common names: the label has fewer or shorter values, of at most 64 characters", async () => {
  const names = ["a", "b"];
  assert.equal(found([names, ["one", "x"], ["two", "x"]]), ["a", "b", true]);
  assert.equal(found([names, ["x", "one"], ["x", "two"]]), ["b", "a", true]);
  assert.equal(found([names, ["longer", "l"], ["text", "m"]]), ["a", "b", true]);
  assert.equal(found([names, ["l", "longer"], ["m", "text"]]), ["b", "a", true]);
  assert.equal(found([names, ["l", "t"]]), ["b", "a", true]);
  assert.equal(found([names, ["t", "l".repeat(64)], ["u", "l".repeat(64)]]), ["a", "b", true]);
  await assertFails(DataError, ["recognized as the text"], () =>
    found([names, ["t", "l".repeat(65)], ["u", "l".repeat(65)]]),
  );
});

test("no header: the first row's label occurs again, or its text has four words", () => {
  const below = [
    ["ham ", "see you"],
    ["spam", "win"],
    ["spam", "call now"],
  ];
  const turned = (rows: string[][]) => rows.map((row) => row.toReversed());
  for (const [first, columns] of [
    [
      ["ham", "hello"],
      ["1", "0", false],
    ],
    [
      ["eggs", "one two three four"],
      ["1", "0", false],
    ],
    [
      ["eggs", " one two  three "],
      [" one two  three ", "eggs", true],
    ],
    [
      ["label", "one two three four"],
      ["one two three four", "label", true],
    ],
  ] as const) {
    const sample = [[...first], ...below];
    assert.equal(found(sample), columns);
    const [text, label, header] = columns;
    assert.equal(found(turned(sample)), header ? columns : [label, text, header]);
  }
  assert.equal(found([["ham", "one two three four"]]), ["1", "0", false], "a file of one row");
  // Where a name is asked for there are names.
  assert.equal(found([["ham", "hello"], ...below], { textColumn: "hello" }), ["hello", "ham", true]);
});

test("keys of JSON lines: common names, otherwise by their values", async () => {
  assert.equal(findKeys([["text", "a", "label", "b"]], {}, "a.jsonl"), { textName: "text", labelName: "label" });
  const sample = [
    ["a", "ham", "b", "some words"],
    ["a", "ham", "b", "others"],
  ];
  assert.equal(findKeys(sample, {}, "a.jsonl"), { textName: "b", labelName: "a" });
  await assertFails(DataError, ["two keys"], () => findKeys([["a", "1"]], {}, "a.jsonl"));
});

test("a warning about the label column: more than 20 classes, with another text for decimal numbers", () => {
  const classes = (count: number, write = (i: number) => `c${i}`) => Array.from({ length: count }, (_, i) => write(i));
  assert.is(labelDoubt(classes(20)), null);
  assert.match(labelDoubt(classes(21))!, /^21 classes: .*label column is the right one/);
  assert.match(labelDoubt(classes(21, (i) => `${i / 2}`))!, /^21 classes, decimal numbers/);
  assert.match(labelDoubt(classes(21, (i) => `${i}`))!, /^21 classes: /);
  // Nine tenths of them are not enough, more are.
  assert.match(labelDoubt(classes(30, (i) => (i < 3 ? `c${i}` : `${i / 2}`)))!, /^30 classes: /);
  assert.match(labelDoubt(classes(30, (i) => (i < 2 ? `c${i}` : `${i / 2}`)))!, /^30 classes, decimal/);
});

test("names in a message: at most twelve, of at most 100 characters", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);
  assert.is(nameList([]), "nothing");
  assert.is(nameList(names(12)), names(12).join(", "));
  assert.is(nameList(names(13)), `${names(12).join(", ")} and 1 more`);
  assert.is(nameList(["a".repeat(100), "b".repeat(101)]), `${"a".repeat(100)}, ${"b".repeat(100)}…`);
});
