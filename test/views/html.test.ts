/** Blocks as HTML and as Markdown. */
import * as assert from "uvu/assert";
import type { Block, Table } from "../../src/document/blocks.ts";
import { blockFiles } from "../../src/views/files.ts";
import { toHtml } from "../../src/views/html.tsx";
import { toMarkdown } from "../../src/views/markdown.ts";
import { test } from "../helpers/harness.ts";
import { assertWellFormed } from "../helpers/markup.ts";

const chart = {
  ...({ kind: "scatter", title: "f", points: [] } as const),
  ...{ x: { title: "", show: String }, y: { title: "", show: String } },
};
const percent = (share: number) => `${100 * share}\u00a0%`;

const BLOCKS: Block[] = [
  { kind: "heading", level: 2, text: "a < b" },
  { kind: "text", text: "words" },
  { kind: "note", text: "look" },
  {
    ...{ kind: "table", name: "t", caption: "Counts" },
    columns: [
      { title: "name", key: "name" },
      { title: "share", key: "share", interval: true, format: percent },
      { title: "ham", key: "predicted ham" },
      { title: null, key: "step" },
      { title: "file", key: "file" },
    ],
    rows: [
      [
        "x",
        { value: 0.5, low: 0.25, high: 0.75 },
        { value: 2, share: 0.5, tone: "mistaken" },
        7,
        { href: "trials/a b.csv", text: "a b.csv" },
      ],
    ],
  },
  { kind: "details", title: "More", blocks: [{ kind: "figure", caption: "curve", name: "f", chart }] },
];

test("each kind of block as well-formed HTML", () => {
  const html = toHtml("title", BLOCKS);
  const body = html.slice(html.indexOf("<body>"), html.indexOf("</body>") + 7);
  assertWellFormed(body);
  for (const part of [
    "<h2>a &lt; b</h2>",
    "<p>words</p>",
    '<p class="note">look</p>',
    '<section class="scroll t" tabindex="0" aria-label="Counts"><table><caption>Counts</caption>',
    '<tr><th scope="col">name</th><th scope="col" class="n">share</th><th scope="col" class="n">ham</th><th scope="col">file</th></tr>',
    '<th scope="row">x</th><td class="n"><span>50\u00a0%<small>25–75</small></span></td>',
    '<td class="n"><span class="mistaken">2<small>50.0\u00a0%</small></span></td><td><a href="trials/a%20b.csv">a b.csv</a></td></tr>',
    '<p class="file"><a href="figures/t.csv">t.csv</a></p>',
    "<details open><summary>More</summary>",
    '<figure><div role="img" aria-label="curve">',
    '<figcaption>curve</figcaption></figure><p class="file"><a href="figures/f.svg">f.svg</a></p></details>',
  ])
    assert.ok(body.includes(part), `${part}\n${body}`);
  assert.not.match(html, /<script|<link|src=/);
});

test("a long table has its first rows as they are read without scripts, and all as the script's data", () => {
  const rows = Array.from({ length: 150 }, (_, i) => [
    `rank ${i}`,
    i === 7 ? "failed" : i,
    { value: i / 200, low: 0, high: 1 },
    { href: `trials/a b/${i}.csv`, text: "csv" },
  ]);
  const columns: Table["columns"] = [
    { title: "Run", key: "run" },
    { title: "Loss", key: "loss" },
    { title: "Share", key: "share", interval: true, format: percent },
    { title: "File", key: "file" },
  ];
  const table: Block = { kind: "table", name: "t", caption: "All", columns, rows };
  const html = toHtml("title", [table]);
  assert.is(html.split("<tr>").length - 1, 1 + 100);
  assert.match(html, "The first 100 of 150 rows; the file has all.");
  const [, data] = /<script type="application\/json">(.*?)<\/script>/.exec(html)!;
  const all = JSON.parse(data!);
  assert.is(all.length, 150);
  const cellsOf = (i: number) => [
    ["50\u00a0%", 0.5, "0–100"],
    ["csv", `trials/a%20b/${i}.csv`],
  ];
  assert.equal([all[7][1], all[100]], ["failed", ["rank 100", 100, ...cellsOf(100)]]);
  // The script is written into the file as it is.
  new Function(/<script>(.*)<\/script>/s.exec(html)![1]!);
});

test("each kind of block as Markdown, with the files that it names", () => {
  assert.is(
    toMarkdown(BLOCKS),
    [
      "## a \\< b",
      "words",
      "note: look",
      "Counts",
      "| name | share | ham | file |\n| --- | --- | --- | --- |\n| x | 50 % (25–75) | 2 | [a b.csv](trials/a%20b.csv) |",
      "[t.csv](figures/t.csv)",
      "![curve](figures/f.svg)\n",
    ].join("\n\n"),
  );
  assert.equal(
    blockFiles(BLOCKS).map(([path]) => path),
    ["figures/t.csv", "figures/f.svg"],
  );
});

test("a long text in a table ends with …; what is not measured is a dash", () => {
  const columns = [
    { title: "message", key: "message" },
    { title: "loss", key: "loss" },
  ];
  const table: Block = { kind: "table", name: "t", caption: "", columns, rows: [["🙂".repeat(300), null]] };
  assert.match(toMarkdown([table]), new RegExp(`\\| ${"🙂".repeat(199)}… \\| – \\|`));
});
