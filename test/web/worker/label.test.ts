/** The page's labelling: the bytes of `classify --in`, in memory. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { openWasm } from "../../../src/backend/wasm.ts";
import { Classifier } from "../../../src/infer/classifier.ts";
import { labelTable, survey } from "../../../src/infer/table/label-table.ts";
import { openTable } from "../../../src/infer/table/open-table.ts";
import { openBaseModel } from "../../../src/io/hf.ts";
import type { LabelRequest } from "../../../src/web/protocol.ts";
import { reportError } from "../../../src/web/worker/errors.ts";
import { labelSource } from "../../../src/web/worker/label.ts";
import { drawTensors, testMeta } from "../../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { afterAll, test } from "../../helpers/harness.ts";
import { PARQUET } from "../../helpers/parquet.ts";
import { TINY, tinyModel } from "../../helpers/tiny.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const opened = open();

async function open() {
  const meta = testMeta({}, { model: TINY, base_model: tinyModel(at("base")) });
  const device = await openWasm({ threads: 1 });
  await using base = await openBaseModel(at("base"));
  return { device, classifier: await Classifier.of({ meta, tensors: drawTensors(meta) }, base, device) };
}

afterAll(async () => {
  const { device, classifier } = await opened;
  classifier.destroy();
  device.destroy();
});

interface Asked extends LabelRequest {
  likelyTextColumn?: string;
  signal?: AbortSignal;
  onProgress?: (rows: number, total: number) => void;
}

async function label(source: File | string, asked: Asked = {}) {
  const { classifier } = await opened;
  return labelSource(classifier, source, {
    likelyTextColumn: undefined,
    signal: new AbortController().signal,
    onProgress: () => {},
    ...asked,
  });
}

/** What the command writes for a file. */
async function written(name: string, encoding?: string): Promise<string> {
  const { classifier } = await opened;
  const table = await openTable(at(name), { encoding });
  const output = at(`out-${name}`);
  const options = { output, force: true, onProgress: () => {} };
  await labelTable(table, await survey(table, name), classifier, options);
  await table.close();
  return readFileSync(output, "utf8");
}

const FILES: Record<string, { content: string | Uint8Array; encoding?: string }> = {
  "array.json": { content: '[{"body": {"text": "see you"}},\n {"body": {"text": "call"}}]' },
  "west.csv": { content: Buffer.from("text\nfa\xe7ade \xe9t\xe9\n", "latin1"), encoding: "windows-1252" },
  "table.parquet": { content: PARQUET },
};

for (const [name, { content, encoding }] of Object.entries(FILES))
  test(`${name}: the bytes are those of the command`, async () => {
    writeFileSync(at(name), content);
    const report = await label(new File([content as BlobPart], name), encoding === undefined ? {} : { encoding });
    assert.is(await report.file.text(), await written(name, encoding));
    assert.is(
      report.fileName,
      name.replace(/\.(parquet)?/, (dot) => (dot === "." ? "-labelled." : "-labelled.csv")),
    );
    assert.is(
      report.rows - report.blank,
      Object.values(report.labels).reduce((sum, rows) => sum + rows, 0),
    );
    assert.ok(report.textColumn !== null && report.columns.includes(report.textColumn), String(report.textColumn));
  });

test("pasted lines become CSV: one row for each line that is not empty", async () => {
  const seen: [number, number][] = [];
  const lines = ["text", ' a "quoted" line', "one, two"];
  const report = await label(`${lines[0]}\r\n\n${lines[1]}\n   \n${lines[2]}`, {
    onProgress: (rows, total) => seen.push([rows, total]),
  });
  assert.equal([report.rows, report.columns, report.textColumn], [3, [], null]);
  assert.equal(
    report.preview.map(({ text }) => text),
    lines,
  );
  assert.is(report.fileName, "messages-labelled.csv");
  const [header, ...rows] = (await report.file.text()).split("\r\n");
  assert.is(header, "text,predicted,probability");
  assert.match(rows[1]!, /^" a ""quoted"" line",(ham|spam),[01]\.\d{6}$/);
  assert.equal(seen.at(-1), [3, 3]);
  await assertFails("no-rows", () => label(" \n"));
});

test("where a column must be chosen, the report has all; of another encoding, the likely one", async () => {
  const report = (source: File, asked?: Asked) =>
    label(source, asked).then(
      () => assert.unreachable(),
      (error) => reportError(error),
    );
  const columns = ["a", "b", "c"];
  const file = new File(["a,b,c\n1,2,3\n"], "three.csv");
  const unknown = await report(file);
  assert.equal([unknown?.code, unknown?.columns, unknown?.where], ["column-not-recognized", columns, "three.csv"]);
  const missing = await report(file, { textColumn: "d" });
  assert.equal([missing?.code, missing?.columns], ["no-such-column", columns]);
  const west = await report(new File([FILES["west.csv"]!.content as BlobPart], "west.csv"));
  assert.is(west?.encoding, "windows-1252");
  await assertFails("unknown-data-format", () => label(new File(["a"], "a.docx")));
  await assertFails("no-rows", () => label(new File(["text\n"], "none.csv")));
});

test("it ends when it is stopped, between some rows and the next", async () => {
  const stop = new AbortController();
  const reason = new DOMException("stopped", "AbortError");
  const rows = "see you at lunch\n".repeat(9000);
  let last = 0;
  const onProgress = (done: number, total: number) => {
    last = done;
    assert.is(total, 9000);
    stop.abort(reason);
  };
  const error = await label(new File([`text\n${rows}`], "many.csv"), { signal: stop.signal, onProgress }).then(
    () => null,
    (error: unknown) => error,
  );
  assert.is(error, reason);
  assert.ok(last > 0 && last < 9000, `${last} rows`);
});
