/** CSV: lines, and tables as files. */
import * as assert from "uvu/assert";
import { csvLine } from "../../src/io/csv.ts";
import { tableToCsv } from "../../src/views/csv.ts";
import { test } from "../helpers/harness.ts";

test("RFC 4180 quoting, line ends, empty fields, numbers with full precision", () => {
  const lines = [
    ['say "hi", then', 0.1 + 0.2],
    ["two\nlines", null],
    [" space", undefined],
    ["b,c", Number.NaN],
  ].map(csvLine);
  assert.is(lines.join(""), '"say ""hi"", then",0.30000000000000004\r\n"two\nlines",\r\n" space",\r\n"b,c",NaN\r\n');
});

test("a table: hidden columns, both bounds of intervals even where there are none, targets of links, raw counts", () => {
  const percent = (share: number) => `${100 * share} %`;
  const columns = [
    { title: "Name", key: "name" },
    { title: null, key: "step" },
    { title: "Accuracy", key: "acc", interval: true, format: percent },
    { title: "only for people", key: null },
    { title: "file", key: "file" },
  ] as const;
  const rows = [
    ["a", 1, { value: 1 / 3, low: 0.25, high: 0.5 }, "x", { href: "trials/a.csv", text: "a.csv" }],
    ["b", 2, null, "y", { value: 7, share: 0.5, tone: "right" }],
    ["c", 3, { value: 1, low: Number.NaN, high: Number.NaN }, "z", "f"],
  ] as const;
  assert.is(
    tableToCsv({ kind: "table", name: "t", caption: "", columns, rows }),
    "name,step,acc,acc_low,acc_high,file\r\na,1,0.3333333333333333,0.25,0.5,trials/a.csv\r\nb,2,,,,7\r\nc,3,1,,,f\r\n",
  );
});
