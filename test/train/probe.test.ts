/** Linear probes: a regression on what a frozen model makes of texts beside TF-IDF, as an adapter. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { fitProbe } from "../../src/classic/fit.ts";
import { Features } from "../../src/engine/features.ts";
import { Classifier, fineTune, loadModel } from "../../src/entries/engine.ts";
import { load, train } from "../../src/index.ts";
import { loadAdapter } from "../../src/io/peft/open-adapter.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import type { TrainEvent } from "../../src/train/records.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain, modelAnd } from "../helpers/runs.ts";
import { encoderModel, messages, tinyData } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const usual = modelAnd(() => tinyData(messages(30, ["ham", "spam", "news"])));
const cpu = () => testDevice("wasm 1 thread");
const PROBE = { mode: "probe" } as const;
const ROUNDING = { atol: 1e-4, rtol: 1e-4 };

test("a probe of each kind of labels: the saved model says what was measured", async () => {
  const { model, data } = await usual();
  const set = "a|b,please call\nb,the bridge\n,nothing\na,call now\n".repeat(8);
  for (const [name, rows] of [
    ["class", data],
    ["two", await tinyData(messages(20))],
    ["set", await tinyData(`label,text\n${set}`, { objective: "multi-label", labelSeparator: "|" })],
    [
      "score",
      await tinyData(`label,text\n${"1,a\n3,please\n2,b c\n5,please call\n".repeat(8)}`, { objective: "regression" }),
    ],
  ] as const) {
    const run = await fineTune({ device: await cpu(), model, data: rows, ...PROBE, save: join(folder, name) });
    const classifier = await Classifier.load(join(folder, name), { device: await cpu(), model });
    const texts = Array.from({ length: rows.test.size }, (_, row) => rows.test.text(row));
    const logits = await classifier.logits(texts);
    const { answer } = TRAINING[rows.objective];
    assertAllClose(name, Array.from(answer!(logits, rows.labels.length)), Array.from(run.predicted!.values), ROUNDING);
    const [own, tfidf] = run.results!.test.compared;
    assert.is(own!.name, "this run");
    assert.match(tfidf!.name, /^TF-IDF/);
    classifier.destroy();
  }
});

test("its events are rows that were read, each text once; the next probe knows them", async () => {
  const { model, data } = await usual();
  const events: TrainEvent[] = [];
  const onEvent = (event: TrainEvent) => {
    assertPlain(event);
    events.push(event);
  };
  const run = await fineTune({ device: await cpu(), model, data, ...PROBE, pooling: "last-token", onEvent });
  const total = data.train.size + data.val.size + data.test.size;
  const read = events.flatMap((event) => (event.type === "features" ? [event] : []));
  assert.equal(read.at(-1), { type: "features", done: total, rows: total, secondsLeft: 0 });
  assert.equal([run.record.step, run.record.steps, run.record.state], [total, total, "finished"]);
  events.length = 0;
  const again = await fineTune({ device: await cpu(), model, data, ...PROBE, pooling: "last-token", onEvent });
  const known = events.flatMap((event) => (event.type === "features" ? [event.done] : []));
  assert.equal(known, [data.train.size, data.train.size + data.val.size, total], "a set at a time");
  assert.equal(again.adapter, run.adapter);
});

test("features are columns like all others: with a head of zeros for them it is TF-IDF alone", async () => {
  const { model, data } = await usual();
  const { spec, capacity } = prepareRun({ device: await cpu(), model, data, ...PROBE });
  const features = await Features.of(await cpu(), model, { spec, capacity });
  for (const set of [data.train, data.val]) await features.compute(set);
  const probe = (await fitProbe({ ...data, features: features.of }))!;
  features.destroy();
  // The mean of the training rows is 0 as a column, so that the columns' part of the logits is, too.
  const { weight, bias } = probe.head;
  const mean = new Float64Array(spec.config.n_embd);
  for (const row of data.train.positions())
    for (const [i, value] of features.of(data.train, row).entries()) mean[i]! += value / data.train.size;
  const atMean = Array.from(bias, (b, label) =>
    mean.reduce((sum, m, i) => sum + m * weight[label * mean.length + i]!, b),
  );
  const flat = (await fitProbe({ ...data, features: () => new Float32Array(mean.length) }))!;
  assert.ok(flat.head.weight.every((value) => value === 0));
  assert.ok(
    atMean.every((value) => Math.abs(value) < 5),
    String(atMean),
  );
});

test("LoRA on the upper blocks of an encoder is compared with its probe, which shares what is frozen there", async () => {
  await using model = await loadModel(encoderModel(join(folder, "encoder"), "bert"));
  const rows = Array.from({ length: 40 }, (_, i) => `${i % 2 ? "a,w5" : "b,w7"} w${10 + i} w${(7 * i) % 90}`);
  const data = await tinyData(`label,text\n${rows.join("\n")}\n`, { model });
  const { results } = await fineTune({ device: await cpu(), model, data, layers: [1], epochs: 1 });
  assert.match(results!.test.compared.map(({ name }) => name).join(), /linear probe/);
});

test("a learner of a probe learns rows on, and is saved with its word counts", async () => {
  const { model } = await usual();
  const rows = Array.from({ length: 24 }, (_, i) => ({
    text: i % 2 ? `call now ${i}` : `see you ${i}`,
    label: i % 2 ? "b" : "a",
  }));
  const learner = await train(rows, { ...PROBE, model, device: await cpu() });
  await learner.learn([
    { text: "the bridge", label: "c" },
    { text: "new bridge", label: "c" },
  ]);
  assert.equal(learner.labels, ["a", "b", "c"]);
  const before = await learner.classify("the bridge over");
  assert.is(before.label, "c");
  await learner.save(join(folder, "learner"), { rows: true });
  const loaded = await load(join(folder, "learner"), { model, device: await cpu() });
  assert.equal(await loaded.classify("the bridge over"), before);
  for (const one of [learner, loaded]) one.destroy();
});

test("what it cannot do is refused by name, and so are damaged word counts", async () => {
  const { model, data } = await usual();
  const all = { device: await cpu(), model, data };
  await assertFails("option-without-effect", ["lr", "probe"], () => fineTune({ ...all, ...PROBE, lr: 0.1 }));
  const tags = await tinyData("label,text\nO,a\nO,b\n".repeat(8));
  await assertFails("unsupported-mode", ["token classifier", "regression on whole texts"], () =>
    prepareRun({ ...all, data: { ...tags, objective: "tokens" } as never, ...PROBE }),
  );
  const directory = join(folder, "damaged");
  await fineTune({ ...all, ...PROBE, save: directory });
  const file = join(directory, "adapter/counts.json");
  writeFileSync(file, readFileSync(file, "utf8").replace("0.", "1."));
  await assertFails("damaged-adapter", ["SHA-256"], () => loadAdapter(directory, model));
});
