/** The page's worker as it ships: a run from a file to its end, and what is refused. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { DataReport, PageSettings } from "../../../src/web/protocol.ts";
import { temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { openTiny, PageBrowser, pickedFile, TINY_RUN } from "../../helpers/page-worker.ts";
import { messages, spelled, tinyModel } from "../../helpers/tiny.ts";
import { sheetData, sheetRow, workbook } from "../../helpers/workbook.ts";

const base = tinyModel(join(temporaryFolder(), "tiny"));
const openTab = () => openTiny(new PageBrowser(), base);

test("a run from a file to its end: what it will take, its events, its results, typed messages", async () => {
  const browser = new PageBrowser();
  const tab = await openTiny(browser, base);
  assert.equal(await tab.call("machine"), { isolated: false, threads: 1 });
  const { known } = await tab.call("readData", TINY_RUN);
  assert.is(known.rows, 34);
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
  const bytes = (await tab.call("sizes"))[id]!;
  assert.ok(bytes > record.saved, `${bytes} bytes`);
  // The speed of this run is known now: the guess before it was another.
  assert.is.not((await tab.call("estimate", TINY_RUN)).seconds, seconds);
  // Neither its copy of the file nor a checkpoint is left.
  const names = browser.files.list().flatMap((path) => (path.startsWith(`runs/${id}/`) ? path.split("/").at(2)! : []));
  assert.equal([...new Set(names)].sort(), [
    ...["adapter", "classic.json", "predictions.csv", "report.html", "run.json"],
  ]);

  const message = "you have won a prize, please";
  const { adapter, classic } = await tab.call("classify", id, "you have won a prize, call now");
  assert.equal([classic && "label" in classic.says && classic.says.label, classic?.isUnlike], ["spam", false]);
  const lines = await tab.call("label", id, "you have won a prize, call now\nsee you at lunch", { classic: true });
  assert.equal(
    [lines.preview[0]!.label, lines.preview[0]!.probability],
    ["spam", classic && "probability" in classic.says && classic.says.probability],
  );
  assert.is((await tab.call("classify", id, "Rechnung über zwölf Gänse")).classic?.isUnlike, true);
  assert.is("label" in adapter && adapter.label, "spam");
  const found = await tab.call("influences", id, message);
  assert.equal(
    found!.parts.map(({ start, end }) => message.slice(start, end)),
    message.split(" "),
  );
});

test("own data is read as check finds it, unless something is chosen; what is found has the settings that deal with it", async () => {
  const tab = await openTab();
  const read = async (
    content: string | Buffer | Uint8Array,
    settings: Partial<PageSettings> = {},
    name = "messages.csv",
  ) => {
    await tab.call("pick", [pickedFile(name, content as BlobPart)]);
    return tab.call("readData", { ...TINY_RUN, data: name, ...settings });
  };
  const roles = ({ columns }: DataReport) => columns.map(({ name, readAs }) => `${name} ${readAs}`);
  const codes = ({ problems }: DataReport) => problems.map(({ code }) => code);

  const open = (await read('label,text\nham,hello\nspam,"open\n')).error!;
  assert.equal([open.name, open.where], ["FormatError", "messages.csv:3"]);
  const unclear = await read("a,b,c\nfirst,1,x\nsecond,2,y\n");
  assert.equal(
    [unclear.error?.code, roles(unclear), unclear.rows],
    [
      "column-not-recognized",
      ["a null", "b null", "c null"],
      [
        ["first", "1", "x"],
        ["second", "2", "y"],
      ],
    ],
  );

  // Of a table in another encoding, the labels are scores.
  const west = Buffer.from(Array.from({ length: 40 }, (_, i) => `"${i},5";fa\xe7ade ${i}\n`).join(""), "latin1");
  const scores = await read(Buffer.concat([Buffer.from("note;text\n"), west]));
  assert.equal(scores.needs, { encoding: "windows-1252", objective: "regression" });
  assert.equal([roles(scores), scores.known.rows], [["note label", "text text"], 28]);
  assert.is(scores.rows[1]![1], "façade 1");
  const asked = await read(Buffer.concat([Buffer.from("note;text\n"), west]), { encoding: "windows-1251" });
  assert.equal([asked.needs.encoding, asked.rows[1]![1]], [undefined, "faзade 1"]);

  const excel = (...sheets: Parameters<typeof workbook>[0]) => workbook(sheets);
  const tickets = Array.from({ length: 24 }, (_, i) => sheetRow(i, `a text of ticket ${i}`, i % 2 ? "one" : "two"));
  const xml = sheetData(sheetRow("nr", "words", "kind"), ...tickets);
  const notes = { name: "Notes", xml: sheetData(sheetRow("see", "Tickets")) };
  const sheet = await read(excel(notes, { name: "Tickets", xml }), {}, "t.xlsx");
  assert.equal([roles(sheet), sheet.known.rows], [["nr null", "words text", "kind label"], 16]);
  assert.equal([sheet.problems[0]!.sheets, sheet.needs.sheet], [["Notes", "Tickets"], "Tickets"]);
  const renamed = (await read(excel(notes), {}, "t.csv")).error!;
  assert.match(renamed.summary + renamed.hint, "This is an Excel file, not a text or a table");
  assert.match((await read("%PDF-1.7 \n", {}, "a.pdf")).error!.summary, "This is a PDF file");

  const doubled = await read(`${messages(24)}${messages(2).slice(11)}spam\nham,too,many\n`);
  assert.equal(codes(doubled).slice(0, 2), ["wrong-field-count", "near-duplicates"]);
  assert.equal(doubled.problems[0]!.examples, ["messages.csv:54", "messages.csv:55"]);
  assert.match(doubled.problems[1]!.text, /^4 of 52 rows are near-duplicates of 4 texts: each is in one set/);
  const prose = await read("It was a bright cold day in April.\n".repeat(400), {}, "book.txt");
  assert.is(prose.needs.objective, "lm");
  assert.is(
    (await tab.call("readData", { ...TINY_RUN, data: "other.csv" }).catch(({ report }) => report)).where,
    "other.csv",
  );
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
  await tab.call("pick", [pickedFile("messages.csv", long)]);
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
    const rows = Array.from(
      { length: 40 },
      (_, i) => `${content(i)},"message ${spelled(i)}${" please".repeat(i % 4)}"`,
    );
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
  await tab.call("pick", [pickedFile("pairs.csv", ["question,answer,label", ...rows].join("\n"))]);
  const { columns } = await tab.call("readData", { ...TINY_RUN, data: "pairs.csv" });
  assert.equal(
    columns.map(({ readAs }) => readAs),
    ["text", "text", "label"],
  );
  const run = await tab.train({
    ...TINY_RUN,
    data: "pairs.csv",
    textColumn: "question,answer",
    epochs: 1,
    evalEvery: 100,
  });
  assert.ok(run.usable, "it ended before its first checkpoint");
  const { adapter } = await tab.call("classify", run.id, ["Is it 3?", "It is 3"]);
  assert.match(String("label" in adapter && adapter.label), /^(yes|no)$/);
  const table = pickedFile("more.csv", ["x,y", "Is it 1?,It is 1"].join("\n"));
  const refused = await tab.refused("label", run.id, table, {});
  assert.match(refused.summary, "two columns are needed");
  const { rows: labelled, textColumn } = await tab.call("label", run.id, table, { textColumn: "x,y" });
  assert.equal([labelled, textColumn], [1, "x,y"]);
});

test("labels that look wrong are found, and corrected ones are learned, also when the run resumes", async () => {
  const kinds = ["ham", "spam"] as const;
  const words = { ham: "see you at lunch", spam: "win a prize now" };
  const rows = Array.from({ length: 60 }, (_, i) => [kinds[i % 2]!, `${words[kinds[i % 2]!]} ${i}`] as const);
  const odd: Record<number, string> = { 9: "", 13: rows[2]![1] };
  const csv = rows.map(([label, text], i) => `${i === 7 ? "ham" : label},${odd[i] ?? text}\n`);
  const tab = await openTiny(new PageBrowser(), base, `label,text\n${csv.join("")}`);
  const before = await tab.call("readData", TINY_RUN);
  const surplus = before.problems.flatMap((problem) => problem.surplus ?? []);
  assert.equal(before.labels, ["ham", "spam"]);
  // One without a text, and the further one of a text that has two labels.
  assert.equal(surplus, [
    { row: 10, text: "" },
    { row: 14, text: "see you at lunch 2" },
  ]);
  const found = await tab.call("review", TINY_RUN);
  const wrong = found.find(({ row }) => row === 8)!;
  assert.equal(wrong, { row: 8, text: "win a prize now 7", given: "ham", suggested: "spam" });
  const { row, text, suggested } = wrong;
  const corrections = [{ row, text, label: suggested }, ...surplus.map((one) => ({ ...one, label: "drop" }))];
  const blob = await tab.call("writeCorrections", corrections);
  await tab.call("pick", [pickedFile("corrections.csv", await blob.text())]);
  const settings = { ...TINY_RUN, corrections: "corrections.csv" };
  const after = await tab.call("readData", settings);
  assert.match(JSON.stringify(after.blocks), "corrections: 1 labels changed, 2 rows left out");
  const ended = tab.ended();
  await tab.call("start", settings);
  await tab.call("stop");
  const stopped = await ended;
  await tab.call("pick", [pickedFile("corrections.csv", "row,text,correct label\n1,x,spam\n")]);
  const run = await tab.train("resume", stopped.id);
  assert.is(run.state, "finished", run.error?.summary);
});
