/** classify --order doubt and --min-probability: margins, near-copies, the rows of a file in another order. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { orderByDoubt, tableByDoubt } from "../../src/infer/table/label-table.ts";
import { openTable } from "../../src/infer/table/open-table.ts";
import { atLeast, marginOf } from "../../src/tasks/certainty.ts";
import { temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const folder = temporaryFolder();

test("a margin is the distance of the two most probable classes, or of labels from their thresholds", () => {
  // "10" and "9" stand in another order among an object's keys.
  const labels = ["b", "10", "9"];
  const probabilities = { b: 0.5, "10": 0.375, "9": 0.125 };
  const one = { label: "b", probability: 0.5, probabilities };
  assert.is(marginOf(one, { labels, settings: {} }), 0.125);
  const two = { label: "9", probability: 0.25, probabilities: { b: 0.75, "9": 0.25 } };
  const settings = { threshold: 0.125, positive: 1 };
  assert.is(marginOf(two, { labels: ["b", "9"], settings }), 0.125);
  const many = { label: null, reason: "none" as const, probability: null, probabilities, labels: [] };
  assert.is(marginOf(many, { labels, settings: { thresholds: [0.75, 0.5, 0.75] } }), 0.125);
  assert.is(marginOf(many, { labels, settings: {} }), 0);
  assert.equal(
    [marginOf({ score: 1 }, { labels, settings }), marginOf({ entities: [] }, { labels, settings })],
    [null, null],
  );
});

test("no label of a lower probability is given; the probability of a class stays", () => {
  const probabilities = { ham: 0.75, spam: 0.25 };
  const one = { label: "ham", probability: 0.75, probabilities };
  assert.equal(
    [0, 0.75, 0.8].map((least) => atLeast(one, least)),
    [one, one, { ...one, label: null, reason: "unsure" }],
  );
  const both = { label: "ham", probability: 0.75, probabilities, labels: ["spam", "ham"] };
  assert.equal(atLeast(both, 0.5), { ...both, labels: ["ham"] });
  assert.equal(atLeast(both, 0.8), { ...both, label: null, reason: "unsure", labels: [] });
  const [ann, oslo] = [0.9, 0.4].map((probability) => ({ label: "X", text: "y", start: 0, end: 1, probability }));
  assert.equal(atLeast({ entities: [ann!, oslo!] }, 0.5), { entities: [ann] });
  assert.equal(atLeast({ score: 0.1 }, 0.5), { score: 0.1 });
});

test("the smallest margin is first; a second near-copy is behind all that are none, a third behind that", () => {
  const order = (...rows: [margin: number, text: string | readonly [string, string]][]) =>
    orderByDoubt(rows.map(([margin, text]) => ({ margin, text })));
  assert.equal(order([0.5, "a cup of tea"], [0.1, "where is my parcel"], [0.3, ""], [0.3, "?"]), [1, 2, 3, 0]);
  const parcel = (name: string, day: number) =>
    `Dear ${name}, your parcel arrives on day ${day}. Please be at home, or choose another day on our page.`;
  assert.equal(
    order([0.1, parcel("Ann", 3)], [0.2, parcel("Bob", 17)], [0.15, parcel("Ann", 12)], [0.9, "See you at noon"]),
    [0, 3, 2, 1],
  );
  const pair = (second: string) => ["When do you close?", second] as const;
  assert.equal(order([0.1, pair("At six")], [0.2, pair("AT SIX!")], [0.3, "Yes"]), [0, 2, 1]);
  // Many copies cost no more than other rows.
  const many = Array.from({ length: 5000 }, (_, i): [number, string] => [i / 5000, "the same"]);
  assert.equal(order(...many), [...many.keys()]);
});

const FILES: [name: string, content: string, expected: string][] = [
  [
    "a.csv",
    '\uFEFF\r\nid,text\r\n1,"far,\nsee"\r\n2,\r\n\r\n3,near',
    '\uFEFF\r\nid,text+\r\n3,near+\r\n1,"far,\nsee"+\r\n2,+\r\n',
  ],
  ["bare.tsv", "ham\tfar away\nham\tfar off\nspam\tnear\n\n", "spam\tnear+\nham\tfar away+\nham\tfar off+\n"],
  ["a.jsonl", '\n{"text":"far {"}\n{"text":"near"}', '{"text":"near"+}\n{"text":"far {"+}\n'],
  [
    "a.json",
    '[{"text":"far"},\n {"text": ""},{"text":"near"}]',
    '[\n{"text":"near"+},\n{"text":"far"+},\n{"text": ""+}\n]\n',
  ],
];

for (const [name, content, expected] of FILES)
  test(`${name}: each row on a line of its own, those without a text last`, async () => {
    writeFileSync(join(folder, name), content);
    const table = await openTable(join(folder, name), { chunkBytes: 5 });
    const added = new TextEncoder().encode("+");
    async function* rows() {
      for await (const some of table.rows())
        yield some.map((row) => ({
          row,
          added,
          margin: row.text ? Number(String(row.text).startsWith("far")) : null,
        }));
    }
    let found = "";
    for await (const piece of tableByDoubt(table, rows()))
      found += new TextDecoder("utf-8", { ignoreBOM: true }).decode(piece);
    await table.close();
    assert.is(found, expected);
  });
