/** Blocks as HTML and as Markdown. */
import * as assert from "uvu/assert";
import type { Block, Table } from "../../src/document/blocks.ts";
import { blockFiles } from "../../src/views/files.ts";
import { toHtml } from "../../src/views/html.tsx";
import { toMarkdown } from "../../src/views/markdown.ts";
import { test } from "../helpers/harness.ts";
import { assertWellFormed, savedTables } from "../helpers/markup.ts";

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
  assertWellFormed(body.replaceAll(/<script.*?<\/script>/gs, ""));
  for (const part of [
    "<h2>a &lt; b</h2>",
    "<p>words</p>",
    '<p class="note">look</p>',
    '<section class="scroll t" tabindex="0" aria-label="Counts"><table><caption>Counts</caption>',
    '<tr><th scope="col">name</th><th scope="col" class="n">share</th><th scope="col" class="n">ham</th><th scope="col">file</th></tr>',
    '<th scope="row">x</th><td class="n"><span>50\u00a0%<small>25–75</small></span></td>',
    '<td class="n"><span class="mistaken">2<small>50.0\u00a0%</small></span></td><td><a href="trials/a%20b.csv">a b.csv</a></td></tr>',
    '<button type="button" value="t.csv" hidden>Save t.csv</button></p><script type="application/json">',
    "<details><summary>More</summary>",
    '<figure class="block"><div role="img" aria-label="curve"><svg ',
    '<figcaption>curve<p class="save"><button type="button" value="f.svg" hidden>Save f.svg</button></p></figcaption></figure></details>',
  ])
    assert.ok(body.includes(part), `${part}\n${body}`);
  assert.not.match(html, /<link|src=/);
  assert.is(
    savedTables(html).get("t.csv"),
    "name,share,share_low,share_high,predicted ham,step,file\r\nx,0.5,0.25,0.75,2,7,trials/a b.csv\r\n",
  );
  // The script is written into the file as it is.
  new Function(/<script>(.*)<\/script>/s.exec(html)![1]!);
});

test("of a long table people see the first rows, and which file has all, which is saved whole", () => {
  const rows = Array.from({ length: 1500 }, (_, i) => [`rank ${i}`]);
  const table: Block = { kind: "table", name: "t", caption: "All", columns: [{ title: "Run", key: "run" }], rows };
  for (const [block, about, shown] of [
    [table, "The first 500 of 1,500 rows; t.csv has all.", 500],
    [{ ...table, shown: 3 }, "The first 3 of 1,500 rows; t.csv has all.", 3],
    [{ ...table, rows: rows.slice(0, 500) }, "", 500],
  ] as [Table, string, number][]) {
    const html = toHtml("title", [block]);
    assert.is(html.split("<tr>").length - 1, 1 + shown);
    assert.is(savedTables(html).get("t.csv")!.split("\r\n").length, 1 + block.rows.length + 1);
    const markdown = toMarkdown([block]);
    assert.is(markdown.split("\n| rank").length - 1, shown);
    for (const text of [html, markdown])
      assert.is(/The first .* has all\./.exec(text)?.[0].replaceAll("\\", "") ?? "", about);
  }
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
