/** A model in a few lines: trained on rows, asked, taught further rows and labels, saved and loaded. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import type { Device } from "../../src/backend/backend.ts";
import { leaseDevice } from "../../src/backend/lease.ts";
import { loadModel } from "../../src/entries/engine.ts";
import { forgetFile, type Learner, load, registerFile, study, type TrainModelOptions, train } from "../../src/index.ts";
import type { Progress } from "../../src/learner/devices.ts";
import { type RowSource, readRows } from "../../src/learner/rows.ts";
import { withLabels } from "../../src/learner/training.ts";
import type { Objective } from "../../src/tasks/index.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test, testAll } from "../helpers/harness.ts";
import { messages, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const model = tinyModel(join(folder, "model"));
const QUICK = { model, rank: 2, alpha: 8, lr: 0.02, epochs: 10, batchSize: 4 } as const;
const FURTHER = { lr: 0.02, epochs: 12, batchSize: 4 } as const;

const rows = (count: number, word: string, label: string) =>
  Array.from({ length: count }, (_, i) => ({ text: `${word} number ${i} ${word}`, label }));
const TWO = [...rows(6, "parcel", "shipping"), ...rows(6, "refund", "money")];
const REFUND = "refund number 9 refund";

/** What `work` makes of a model, which is destroyed then. */
async function using<T, O extends Objective = "classification">(
  work: (learner: Learner<O>, device: Device) => Promise<T>,
  source: RowSource = TWO,
  options: TrainModelOptions & { objective?: O } = {},
): Promise<T> {
  const device = await testDevice("wasm 1 thread");
  const learner = (await train(source, { ...QUICK, device, ...options })) as unknown as Learner<O>;
  try {
    return await work(learner, device);
  } finally {
    learner.destroy();
  }
}

test("a model of a few rows answers one text with one answer, a list with a list", () =>
  using(async (learner) => {
    assert.equal([learner.objective, [...learner.labels].sort()], ["classification", ["money", "shipping"]]);
    const one = await learner.classify(REFUND);
    const list = await learner.classify([REFUND, "parcel number 9 parcel", ""]);
    assert.equal(one, list[0]);
    assert.equal(
      list.map(({ label }) => label),
      ["money", "shipping", null],
    );
    assert.equal(learner.run!.results?.after.test ?? null, null, "nothing is measured on no rows");
    assert.equal(await learner.classify(REFUND, { minProbability: 0.5 }), one);
    const [unsure, , blank] = await learner.classify([REFUND, REFUND, ""], { minProbability: 1 });
    assert.equal([unsure, blank], [{ ...one, label: null, reason: "unsure" }, list[2]]);
    assert.equal(blank, { label: null, reason: "blank", probability: null, probabilities: {} });
    await assertFails("invalid-value", ["minProbability"], () => learner.classify(REFUND, { minProbability: 2 }));
    await assertFails("unknown-option", ["minProbabilty"], () =>
      learner.classify("x", { minProbabilty: 0.5 } as never),
    );
    const [writer, scorer] = [learner as unknown as Learner<"lm">, learner as unknown as Learner<"regression">];
    await assertFails("wrong-task", ["use classify"], () => writer.generate("x"));
    await assertFails("wrong-task", ["use classify"], () => scorer.score("x"));
  }));

test("it learns further rows and a new label, and answers as before meanwhile", () =>
  using(async (learner) => {
    const before = await learner.classify(REFUND);
    const more = rows(6, "invoice", "billing");
    const learning = learner.learn(more, FURTHER);
    assert.equal(await learner.classify(REFUND), before);
    await learning;
    assert.equal(learner.labels, [...new Set([...learner.labels.slice(0, 2), "billing"])]);
    const found = await learner.classify(["invoice number 9 invoice", REFUND, "parcel number 9 parcel"]);
    assert.equal(
      found.map(({ label }) => label),
      ["billing", "money", "shipping"],
    );
    // Nothing has changed where rows do not fit, or it was aborted.
    await assertFails("value-not-text", ["rows["], () => learner.learn([{ text: 3, label: "x" } as never]));
    const stop = new AbortController();
    const stopped = learner.learn(more, { signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) });
    const reason = await stopped.then(
      () => "",
      (error: Error) => error.message,
    );
    assert.equal(reason, "enough");
    assert.equal(await learner.classify(["invoice number 9 invoice", REFUND, "parcel number 9 parcel"]), found);
  }));

test("a saved model gives the same, from a directory, a zip file and a Blob, and learns on with its rows", () =>
  using(async (learner, device) => {
    const path = join(folder, "topics");
    const expected = await learner.classify(REFUND);
    await learner.save(path, { rows: true });
    await learner.save(path, { rows: true });
    const blob = await learner.toBlob({ rows: true });
    writeFileSync(`${path}.zip`, new Uint8Array(await blob.arrayBuffer()));
    for (const source of [path, `${path}.zip`, blob]) {
      const loaded = await load(source, { device });
      assert.equal(await loaded.classify(REFUND), expected);
      await loaded.learn(rows(6, "invoice", "billing"), FURTHER);
      const found = await loaded.classify(["invoice number 9 invoice", REFUND, "parcel number 9 parcel"]);
      assert.equal(
        found.map(({ label }) => label),
        ["billing", "money", "shipping"],
      );
      loaded.destroy();
    }
    const kept = await load(path, { device });
    await kept.save(path);
    assert.ok(existsSync(join(path, "rows.json")), "rows that were there stay");
    await kept.save(path, { rows: false });
    assert.not(existsSync(join(path, "rows.json")), "they go if that is asked for");
    await kept.learn(rows(1, "invoice", "billing"), { epochs: 1 });
    kept.destroy();
    await learner.save(`${path}-bare`);
    assert.not(existsSync(join(`${path}-bare`, "rows.json")), "no text is stored unless that is asked for");
    const bare = await load(`${path}-bare`, { device });
    const more = rows(2, "invoice", "billing");
    await assertFails("would-forget", ["money, shipping", "rows: true"], () => bare.learn(more));
    await bare.learn([...more, ...TWO], { epochs: 1 });
    assert.equal(bare.labels, [...learner.labels, "billing"]);
    bare.destroy();
  }));

test("a model that has measured itself learns one row of a new label, with the settings that it was trained with", () => {
  const settings = { lr: 0.03, dtype: "f16", clip: 0.5, weightDecay: 0, seed: 7, calibrate: true } as const;
  const more = [{ text: "invoice number 9 invoice", label: "billing" }];
  const check = ({ run }: Learner, expected: object) => {
    const { options } = run!.record;
    assert.equal({ ...options, ...expected }, options);
  };
  return using(
    async (learner, device) => {
      const path = join(folder, "measured");
      await learner.save(path, { rows: true });
      const loaded = await load(path, { device });
      await loaded.learn([{ ...more[0]!, label: "money" }], { clip: 0.25 });
      check(loaded, { ...settings, clip: 0.25, batchSize: 4 });
      loaded.destroy();
      await learner.learn(more, { epochs: 1 });
      assert.ok(learner.labels.includes("billing"));
      // A temperature is chosen for the labels that it was chosen for.
      check(learner, { ...settings, calibrate: false });
    },
    TWO,
    { ...settings, epochs: 1, test: 0.25 },
  );
});

test("rows are listed, corrected and forgotten, and learned then; a probe reads none of them again", async () => {
  const device = await testDevice("wasm 1 thread");
  const phases: string[] = [];
  const onProgress = ({ phase, fraction }: Progress) => phases.push(`${phase} ${fraction}`);
  const learner = await train(TWO, { model, mode: "probe", device, onProgress });
  assert.is(phases.at(-1), "read 1");
  assert.equal((await learner.rows.list()).length, TWO.length);
  const before = await learner.classify(REFUND);
  const [first] = TWO;
  assert.is(await learner.rows.correct(first!.text, "lost"), 1);
  assert.is(await learner.rows.forget(TWO[1]!.text), 1);
  await learner.rows.add([{ text: "gone number 3 gone", label: "lost" }]);
  assert.equal(await learner.classify(REFUND), before, "nothing is learned yet");
  await learner.learn();
  assert.equal([...learner.labels].sort(), ["lost", "money", "shipping"]);
  const rows = await learner.rows.list();
  assert.is(rows.length, TWO.length);
  assert.equal(
    rows.find((row) => "label" in row && row.text === first!.text),
    { text: first!.text, label: "lost", set: "train" },
  );
  assert.is((await learner.classify("gone number 3 gone")).label, "lost");
  await assertFails("no-such-row", ["nowhere"], () => learner.rows.forget("nowhere"));
  const measured = await learner.evaluate(TWO.slice(2));
  assert.equal([measured.rows, measured.accuracy], [TWO.length - 2, 1]);
  const path = join(folder, "taught");
  await learner.save(path);
  const bare = await load(path, { device });
  await assertFails("rows-unknown", ["rows: true"], () => bare.rows.list());
  // Anew, by LoRA.
  await learner.tune({ rank: 2, alpha: 8, lr: 0.02, epochs: 1 });
  assert.is(learner.run!.record.options.mode, "lora");
  for (const one of [learner, bare]) one.destroy();
});

test("a save over another's newer one is refused with both revisions, and merged if that is asked for", async () => {
  const device = await testDevice("wasm 1 thread");
  const path = join(folder, "shared");
  const learner = await train(TWO, { model, mode: "probe", device });
  await learner.save(path, { rows: true });
  const other = await load(path, { device });
  await other.learn([{ text: "invoice number 1 invoice", label: "billing" }]);
  await other.save(path);
  await learner.learn([{ text: "gone number 3 gone", label: "lost" }]);
  await assertFails("newer-model", ["revision ", ", which this one was", "found:    revision ", "merge: true"], () =>
    learner.save(path),
  );
  await learner.save(path, { merge: true });
  await learner.save(path);
  const merged = await load(path, { device });
  assert.equal([...merged.labels].sort(), ["billing", "lost", "money", "shipping"]);
  assert.is((await merged.rows.list()).length, TWO.length + 2);
  await assertFails("newer-model", [], () => other.save(path));
  await other.save(path, { force: true });
  for (const one of [learner, other, merged]) one.destroy();
});

test("a device that nobody gave is opened once, and destroyed with the last model", async () => {
  const given = await leaseDevice("wasm");
  const first = await train(TWO, { model, mode: "probe", device: "wasm" });
  const { device } = given;
  assert.is((await leaseDevice("wasm")).device, device);
  given.giveBack();
  given.giveBack();
  assert.ok((await first.classify(REFUND)).label);
  first.destroy();
  const another = await leaseDevice("wasm");
  assert.is(another.device, device, "one lease is left");
});

test("a study gives a model that all rows have tested, or the best of some settings", async () => {
  const device = await testDevice("wasm 1 thread");
  const file = join(folder, "studied.csv");
  writeFileSync(file, messages(40));
  const fractions: number[] = [];
  const {
    model: learner,
    estimate,
    answers,
    best,
  } = await study(file, {
    ...{ model, mode: "probe", device, folds: 3 },
    onProgress: ({ fraction }) => fractions.push(fraction),
  });
  assert.is(answers!.length, 80);
  assert.ok(estimate!.value >= 0 && estimate!.measure.length > 0);
  assert.equal([fractions.at(-1), best.record.folds], [1, 3]);
  assert.ok(learner.labels.includes((await learner.classify("you have won a prize")).label!));
  learner.destroy();
  const runs = [1, 2].map((rank) => ({ rank, alpha: 8, lr: 0.02, epochs: 1, batchSize: 4 }));
  const chosen = await study(file, { model, device, mode: "lora", test: 0.3, runs });
  assert.match(chosen.report.toMarkdown(), /[Rr]ank/);
  assert.ok(runs.some(({ rank }) => chosen.best.record.options.rank === rank));
  assert.is((await chosen.model.classify(["", REFUND])).length, 2);
  chosen.model.destroy();
  await assertFails("options-conflict", [], () => study(file, { runs, folds: 3 } as never));
});

test("nothing but its own directory is replaced", () =>
  using(async (learner, device) => {
    const path = join(folder, "own");
    await learner.save(path);
    const other = await load(path, { device });
    await other.save(path);
    const third = await train(TWO, { ...QUICK, epochs: 1, device });
    await assertFails("output-exists", ["force"], () => third.save(path));
    await third.save(path, { force: true });
    writeFileSync(join(path, "notes.txt"), "mine");
    await assertFails("output-exists", ["notes.txt"], () => third.save(path));
    const full = join(folder, "full");
    mkdirSync(full);
    writeFileSync(join(full, "lowrank.txt"), "mine");
    await assertFails("output-exists", ["lowrank.txt"], () => third.save(full, { force: true }));
    assert.equal(readdirSync(full), ["lowrank.txt"]);
    for (const one of [other, third]) one.destroy();
  }));

test("a destroyed model says so, and ends what it learns", () =>
  using(async (learner) => {
    const learning = learner.learn(TWO, { epochs: 500, onProgress: () => learner.destroy() });
    await assertFails("already-destroyed", ["destroyed"], () => learning);
    await assertFails("already-destroyed", ["destroyed"], () => learner.classify("x"));
    await assertFails("already-destroyed", ["destroyed"], () => learner.save(join(folder, "gone")));
    await assertFails("already-destroyed", ["destroyed"], () => learner.learn(TWO));
  }));

testAll("rows come from a file, opened or by its path, and a part measures the model", async () => {
  const path = join(folder, "rows.csv");
  const lines = messages(40);
  writeFileSync(path, lines);
  const file = new File([lines], "rows.csv");
  registerFile("kept.csv", new Blob([lines]));
  for (const source of [path, file, "kept.csv"])
    await using(
      async (learner) => {
        assert.equal(learner.labels, ["ham", "spam"]);
        assert.ok((learner.run!.results!.after.test.accuracy ?? -1) >= 0);
      },
      source,
      { epochs: 1 },
    );
  forgetFile("kept.csv");
  await assertFails("invalid-argument", ["name"], () => using(async () => {}, new Blob([lines])));
});

test("rows come from a folder of classes and a file: address; what is no path is the name of a data set", async () => {
  const base = await loadModel(model);
  const read = async (source: RowSource) => [...(await readRows(source, base, {})).labels];
  const classes = join(folder, "classes");
  for (const [name, word] of [
    ["money", "refund"],
    ["shipping", "parcel"],
  ] as const) {
    mkdirSync(join(classes, name), { recursive: true });
    for (const { text } of rows(8, word, name)) writeFileSync(join(classes, name, `${text}.txt`), text);
  }
  const file = join(folder, "addressed.csv");
  writeFileSync(file, messages(40));
  for (const source of [classes, pathToFileURL(classes).href]) assert.equal(await read(source), ["money", "shipping"]);
  for (const source of [pathToFileURL(file), pathToFileURL(file).href])
    assert.equal(await read(source), ["ham", "spam"]);
  for (const path of ["./nowhere", "../nowhere/x", join(folder, "nowhere"), "C:\\nowhere"])
    await assertFails("no-such-file", ["nowhere"], () => read(path));
  await assertFails("no-such-dataset", () => read("nowhere"));
  await base.close();
  await assertFails("not-an-adapter", [`where:    ${classes}`], () => load(pathToFileURL(classes)));
});

testAll("trainings on one device run one after the other, and an open base model stays the caller's", async () => {
  const base = await loadModel(model);
  const device = await testDevice("wasm 1 thread");
  const order: string[] = [];
  const start = (name: string) =>
    train(TWO, { ...QUICK, epochs: 2, model: base, device, onProgress: () => order.push(name) });
  const models = await Promise.all(["a", "b"].map(start));
  const changes = order.filter((name, i) => i > 0 && name !== order[i - 1]);
  assert.is(changes.length, 1, `one after the other: ${order.join("")}`);
  for (const one of models) one.destroy();
  assert.equal((await base.read("ln_f.weight"))?.length, 16);
  await base.close();
});

testAll("numbers are scores if that is asked for", () =>
  using(
    async (learner) => {
      const { score } = await learner.score(REFUND);
      assert.ok(score! > 2, String(score));
    },
    TWO.map(({ text }, i) => ({ text, label: i < 6 ? 1 : 5 })),
    { objective: "regression", epochs: 30 },
  ),
);

testAll("lists of labels, tags and texts say what is learned", async () => {
  await using<void, "multi-label">(
    async (learner) => {
      assert.equal([learner.objective, (await learner.classify(REFUND)).labels], ["multi-label", ["money"]]);
    },
    TWO.map(({ text, label }) => ({ text, label: [label] })),
    { epochs: 30 },
  );
  const sentence = { words: ["Ann", "lives", "in", "Rome"], tags: ["B-PER", "O", "O", "B-LOC"] };
  await using<void, "tokens">(
    async (learner) => {
      assert.equal(learner.objective, "tokens");
      await learner.tag("Ann lives in Rome");
      await learner.learn([{ words: ["May", "1"], tags: ["B-DATE", "I-DATE"] }], { epochs: 1 });
      assert.ok(learner.labels.includes("B-DATE"));
    },
    [sentence, sentence, sentence, sentence],
    { epochs: 1, signal: new AbortController().signal },
  );
  await using<void, "lm">(
    async (learner) => {
      assert.equal(learner.objective, "lm");
      const told: string[] = [];
      const { text } = await learner.generate("the cat", { maxNewTokens: 3, onText: (more) => told.push(more) });
      assert.equal(told.join(""), text);
      const streamed: string[] = [];
      for await (const more of learner.stream("the cat", { maxNewTokens: 3 })) streamed.push(more);
      assert.equal(streamed.join(""), text);
      const classifier = learner as unknown as Learner;
      await assertFails("wrong-task", ["generate"], () => classifier.classify("x"));
      await assertFails("wrong-task", ["run.results"], () => learner.evaluate(["the cat sat"]));
      await learner.learn(["the cat sat on the mat again and again"], { epochs: 1 });
    },
    Array.from({ length: 8 }, (_, i) => `the cat sat on mat ${i} and the dog on mat ${i + 1}`),
    { epochs: 1, batchSize: 1 },
  );
});

testAll("pairs are one text of two", () =>
  using(
    async (learner) => {
      const [one] = await learner.classify([["refund", "refund now"]]);
      assert.ok(learner.labels.includes(one!.label!));
      await assertFails("wrong-text-count", ["pairs"], () => learner.classify("refund"));
    },
    TWO.map(({ text, label }) => ({ text: [text, "now"] as const, label })),
    { epochs: 1 },
  ),
);

test("an adapter for more labels answers the old ones as before", () =>
  using(async (learner) => {
    const { meta, tensors } = learner.adapter;
    const grown = withLabels(learner.adapter, [...meta.labels, "new"]);
    for (const [name, { shape, data }] of grown.tensors) {
      const { data: before } = tensors.get(name)!;
      assert.equal([...data.subarray(0, before.length)], [...before], name);
      assert.ok(
        data.subarray(before.length).every((value) => value === 0),
        name,
      );
      assert.equal(
        data.length,
        shape.reduce((a, b) => a * b, 1),
      );
    }
    assert.equal(grown.meta.task.num_labels, 3);
  }));

test("what is wrong is said before anything is loaded", async () => {
  await assertFails("unknown-option", ["epochs"], () => train(TWO, { epoch: 3 } as never));
  await assertFails("invalid-argument", ["a path, a URL"], () => load(3 as never));
  await assertFails("unknown-option", ["device"], () => load("x", { devise: "wasm" } as never));
});
