/** The page's worker as it ships: a run from a file to its end, and what is refused. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { openTiny, PageBrowser, pickedFile, TINY_RUN } from "../../helpers/page-worker.ts";
import { messages, tinyModel } from "../../helpers/tiny.ts";
import { sheetData, sheetRow, workbook } from "../../helpers/workbook.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));
const openTab = () => openTiny(new PageBrowser(), base);

test("a run from a file to its end: what it will take, its events, its results, typed messages", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  assert.equal(await tab.call("machine"), { isolated: false, threads: 1 });
  const { trainRows } = await tab.call("readData", TINY_RUN);
  assert.is(trainRows, 34);
  const { steps, stepsPerEpoch, trainable, seconds } = await tab.call("estimate", TINY_RUN);
  assert.equal([steps, stepsPerEpoch], [8, 4]);

  const run = await tab.train(TINY_RUN);
  const { id, record } = run;
  assert.equal([run.state, run.usable, run.error, run.note], ["finished", true, null, null]);
  assert.equal([record.step, record.steps, record.trainable], [8, 8, trainable]);
  assert.equal(
    record.evaluations.map(({ step }) => step),
    [0, 4, 8],
  );
  assert.ok(record.results!.after.test.loss < record.results!.before!.test.loss);
  assert.ok(run.changes!.changes.length > 0);
  const told = tab.events.flatMap((event) => (event.type === "run" ? event.run : []));
  assert.equal([told[0]!.state, told[0]!.record.step], ["training", 0]);
  assert.ok(told.slice(0, -1).every(({ state }) => state === "training"));
  assert.equal(await tab.call("runs"), [run]);
  // The speed of this run is known now: the guess before it was another.
  assert.is.not((await tab.call("estimate", TINY_RUN)).seconds, seconds);
  // Neither its copy of the file nor a checkpoint is left.
  const names = browser.files.list().flatMap((path) => (path.startsWith(`runs/${id}/`) ? path.split("/").at(2)! : []));
  assert.equal([...new Set(names)].sort(), [
    ...[
      "adapter",
      "baselines.csv",
      "classes.csv",
      "classic.json",
      "confusion.csv",
      "losses.csv",
      "measures.csv",
      "metrics.csv",
    ],
    ...["plan.txt", "predictions.csv", "run.json"],
  ]);

  const { adapter, base: before } = await tab.call("classify", id, "you have won a prize, call now");
  assert.equal(["label" in adapter && adapter.label, "probability" in before && before.probability], ["spam", 0.5]);
  const message = "you have won a prize, please";
  const found = await tab.call("influences", id, message);
  assert.equal(
    found!.parts.map(({ start, end }) => message.slice(start, end)),
    message.split(" "),
  );
});

test("a file is read with the encoding and the columns that are chosen; an error has its line; invalid rows are skipped", async () => {
  const tab = await openTab();
  const pick = (content: string | Buffer, encoding = "utf-8") =>
    tab.call("pickData", pickedFile("messages.csv", content as BlobPart), encoding);
  await pick('label,text\nham,hello\nspam,"open\n');
  const open = await tab.refused("readData", TINY_RUN);
  assert.equal([open.name, open.where], ["FormatError", "messages.csv:3"]);
  assert.equal(await pick("a,b,c\nfirst,1,x\nsecond,2,y\n"), { columns: ["a", "b", "c"], text: null, label: null });
  assert.is((await tab.refused("readData", TINY_RUN)).code, "column-not-recognized");

  const west = Buffer.from("label,text\nham,fa\xe7ade\n", "latin1");
  const { encoding } = await tab
    .call("pickData", pickedFile("messages.csv", west), "utf-8")
    .then(() => tab.refused("readData", TINY_RUN))
    .catch(({ report }) => report);
  assert.is(encoding!.encoding, "windows-1252");
  assert.equal((await pick(west, "windows-1252")).columns, ["label", "text"]);

  const excel = (name: string, ...rows: string[]) =>
    pickedFile(name, workbook([{ name: "S", xml: sheetData(...rows) }]) as BlobPart);
  const tickets = Array.from({ length: 24 }, (_, i) => sheetRow(i, `a text of ticket ${i}`, i % 2 ? "one" : "two"));
  const found = { columns: ["nr", "words", "kind"], text: "words", second: undefined, label: "kind" };
  assert.equal(
    await tab.call("pickData", excel("t.xlsx", sheetRow("nr", "words", "kind"), ...tickets), "utf-8"),
    found,
  );
  assert.is((await tab.call("readData", { ...TINY_RUN, data: "t.xlsx" })).trainRows, 16);

  await pick(`${messages(24)}spam\nham,too,many\n`);
  const { blocks } = await tab.call("readData", { ...TINY_RUN, skipFaulty: true });
  assert.match(JSON.stringify(blocks), /2 invalid rows were skipped.*messages\.csv:50: The row has the wrong/);
  assert.is((await tab.refused("readData", { ...TINY_RUN, data: "other.csv" })).where, "other.csv");
});

test("settings that are invalid or do not fit are refused, with one that does", async () => {
  const tab = await openTab();
  const all = await tab.call("estimate", TINY_RUN);
  const one = await tab.call("estimate", { ...TINY_RUN, layers: [1] });
  assert.ok(one.trainable < all.trainable);
  const layer = await tab.refused("estimate", { ...TINY_RUN, layers: [2] });
  assert.equal([layer.code, layer.expected], ["no-such-layer", "blocks from 0 to 1"]);
  // A tablet has a budget.
  await tab.call("tellTouchPoints", 5);
  const long = messages(600).replaceAll(" please", " please".repeat(35));
  await tab.call("pickData", pickedFile("messages.csv", long), "utf-8");
  const large = {
    ...TINY_RUN,
    device: "auto",
    model: "gpt2-micro",
    mode: "all",
    recompute: "off",
    batchSize: 800,
  } as const;
  const { remedy } = await tab.refused("estimate", large);
  const fitting = await tab.call("estimate", { ...large, ...remedy!.set });
  assert.is(fitting.bytes, remedy!.bytes);
  // Of what is refused nothing is stored.
  assert.match((await tab.refused("start", { ...TINY_RUN, rank: 0 })).summary, "rank");
  assert.equal(await tab.call("runs"), []);
});

test("a learning rate that diverges ends the run, with the reason and a smaller rate", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const { id, state, usable, error } = await tab.train({ ...TINY_RUN, lr: 1e9, headInit: "uniform" });
  assert.equal([state, usable, error!.remedy], ["failed", true, { set: { lr: 0.001 } }]);
  const classified = await tab.refused("classify", id, "see you at lunch");
  assert.match(classified.summary, "probabilities are not finite");
  const listed = await (await browser.open()).listed(id);
  assert.equal([listed!.state, listed!.error], ["failed", error]);
});

test("a run that is active is not deleted, and no other begins; one that has ended is deleted with its files", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  const held = tab.hold("write", /step-0*4\./);
  const id = await tab.call("start", TINY_RUN);
  await held.reached;
  assert.is((await tab.refused("start", TINY_RUN)).code, "run-active");
  assert.is((await tab.refused("forget", id)).code, "run-active");
  assert.is((await tab.refused("forgetModel", "tiny")).code, "model-in-use");
  // It classifies meanwhile, and leaves the device to the run otherwise.
  assert.ok("label" in (await tab.call("classify", id, "see you")).adapter);
  assert.is(await tab.call("influences", id, "see you"), null);
  const ended = tab.ended();
  await tab.call("stop");
  held.release();
  await ended;
  await tab.call("forget", id);
  assert.equal(await tab.call("runs"), []);
  assert.equal(
    browser.files.list().filter((path) => path.startsWith("runs/")),
    [],
  );
  assert.is((await tab.refused("classify", id, "see you")).code, "no-such-run");
});

for (const [objective, content, measure] of [
  ["regression", (i: number) => String((i % 4) + 0.5), "score"],
  ["multi-label", (i: number) => ["red|blue", "red", "", "blue"][i % 4]!, "labels"],
] as const)
  test(`${objective}: a run, and what it says of a message; of its words nothing`, async () => {
    const rows = Array.from({ length: 40 }, (_, i) => `${content(i)},"message ${i}${" please".repeat(i % 4)}"`);
    const tab = await openTiny(new PageBrowser(), base, `label,text\n${rows.join("\n")}\n`);
    const run = await tab.train({ ...TINY_RUN, objective, epochs: 1 });
    assert.is(run.state, "finished");
    const { adapter } = await tab.call("classify", run.id, "message please please");
    assert.ok(measure in adapter, JSON.stringify(adapter));
    assert.is(await tab.call("influences", run.id, "message please please"), null);
  });

test("two columns are taken as pairs, and a run of them judges pairs", async () => {
  const rows = Array.from({ length: 40 }, (_, i) => `Is it ${i}?,It is ${i % 7},${i % 2 ? "yes" : "no"}`);
  const tab = await openTab();
  const columns = await tab.call(
    "pickData",
    pickedFile("pairs.csv", ["question,answer,label", ...rows].join("\n")),
    "utf-8",
  );
  assert.equal([columns.text, columns.second, columns.label], ["question", "answer", "label"]);
  const run = await tab.train({ ...TINY_RUN, data: "pairs.csv", textColumn: "question,answer", epochs: 1 });
  const { adapter } = await tab.call("classify", run.id, ["Is it 3?", "It is 3"]);
  assert.match(String("label" in adapter && adapter.label), /^(yes|no)$/);
  const table = pickedFile("more.csv", ["x,y", "Is it 1?,It is 1"].join("\n"));
  const refused = await tab.refused("label", run.id, table, {});
  assert.match(refused.summary, "two columns are needed");
  const { rows: labelled, textColumn } = await tab.call("label", run.id, table, { textColumn: "x,y" });
  assert.equal([labelled, textColumn], [1, "x,y"]);
});
