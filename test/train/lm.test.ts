/** Training of language models: as for classifiers, with blocks of text instead of messages. */

import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Estimate } from "../../src/core/statistics.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedTexts, loadTexts, type TextsOptions } from "../../src/data/text/texts.ts";
import { type FineTuneRun, fineTune } from "../../src/entries/engine.ts";
import { Classifier } from "../../src/infer/classifier.ts";
import { LanguageModel } from "../../src/infer/text/language-model.ts";
import { openAdapter } from "../../src/io/peft/open-adapter.ts";
import type { TrainArguments } from "../../src/train/job.ts";
import { ofMode } from "../../src/train/options.ts";
import { assertAllClose } from "../helpers/allclose.ts";
import { assertFails, assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { testDevice } from "../helpers/device.ts";
import { test } from "../helpers/harness.ts";
import { assertPlain, modelAnd } from "../helpers/runs.ts";
import { messages, TINY, tinyData } from "../helpers/tiny.ts";

/** Tolerance for the same sums in batches of other sizes. */
const BATCHING = { atol: 0, rtol: 1e-6 };

const folder = temporaryFolder();
const SMALL = { epochs: 2, batchSize: 2, lr: 0.01, rank: 2, alpha: 4, accumulate: 2 } as const;
const LINES = Array.from({ length: 24 }, (_, i) => `line ${i % 7}: the cat sat on mat ${i % 5}\n`).join("");

function texts(options: TextsOptions = {}, name = "lines.txt", content = LINES): Promise<LoadedTexts> {
  return loadTexts({ file: bytesReader(name, new TextEncoder().encode(content)) }, { maxLength: 16, ...options });
}

const usual = modelAnd(() => texts());

/** Only on the CPU: a vocabulary of 50,257 is slow on a software GPU. Other tests compare devices, on smaller ones. */
const device = () => testDevice("wasm 1 thread");

async function run(options: Partial<TrainArguments> = {}): Promise<FineTuneRun> {
  return fineTune({
    device: await device(),
    ...(await usual()),
    onEvent: assertPlain,
    ...ofMode({ ...SMALL, ...options }, options.mode ?? "lora"),
  });
}

for (const mode of ["lora", "all", "prompt"] as const)
  test(`mode ${mode} learns the text`, async () => {
    const { tensors, spec, answers, results } = await run({ mode });
    const { before, after, test } = results!;
    const { loss = [], tokens = [] } = test.rows;
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    assertAllClose("losses of texts", [sum(loss) / sum(tokens)], [after.test.loss], BATCHING);
    assert.ok(after.val!.loss < before.val!.loss, `${before.val!.loss} -> ${after.val!.loss}`);
    const learns = (name: string) =>
      ({
        lora: name.startsWith("lora.h."),
        all: true,
        prompt: name === "prompt.weight",
      })[mode];
    assert.ok([...tensors.keys()].every(learns), [...tensors.keys()].join());
    assert.equal([spec.task.objective, spec.task.num_labels, answers], ["lm", 0, null]);
  });

test("perplexity and bits per byte follow from the loss, and do not depend on the batches", async () => {
  const { data } = await usual();
  const { before } = (await run({ epochs: 1 })).results!;
  const { before: alone } = (await run({ epochs: 1, batchSize: 1, accumulate: 1 })).results!;
  for (const name of ["val", "test"] as const) {
    const { rows, loss, perplexity, bitsPerByte } = before[name]!;
    const { tokens, bytes } = data[name].stats();
    assert.is(rows, tokens);
    assert.is(perplexity, Math.exp(loss));
    const bits = (loss * tokens) / Math.LN2 / bytes;
    assertAllClose(name, [bitsPerByte!, alone[name]!.loss], [bits, loss], BATCHING);
  }
  // A model with random weights is worse than uniform guessing.
  assert.ok(before.val!.loss > Math.log(TINY.vocab_size), `${before.val!.loss}`);
});

test("the losses on documents, or on blocks of a few long ones, add up to the loss of the test set", async () => {
  const rows = (count: number) => {
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ text: `é ${"the cat sat ".repeat(1 + (i % 5))}` }),
    );
    return bytesReader("rows.jsonl", new TextEncoder().encode(lines.join("\n")));
  };
  const documents = await loadTexts({ train: rows(5), val: rows(1), test: rows(20) }, { maxLength: 16 });
  for (const [data, of, count] of [
    [documents, "documents", 20],
    [(await usual()).data, "blocks", (await usual()).data.test.size],
  ] as const) {
    const { before, after, test } = (await run({ epochs: 1, data })).results!;
    const { loss = [], tokens = [], bytes = [] } = test.rows;
    const stats = data.test.stats();
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    assert.equal([test.details, loss.length], [{ of }, count]);
    assert.equal([sum(tokens), sum(bytes)], [stats.tokens, stats.bytes]);
    assertAllClose(of, [sum(loss) / stats.tokens], [after.test.loss], BATCHING);
    // Compared with the model before training, on the same texts.
    const losses = test.compared.map(({ measured }) => Math.log((measured.ppl as Estimate).value));
    const evaluated = [after, before].map((splits) => Math.log(splits.test.perplexity!));
    assertAllClose(`logarithms of perplexities of ${of}`, losses, evaluated, BATCHING);
  }
  // Each document is a text and an <|endoftext|>; one in a set of its own has the same loss as among others, to
  // rounding.
  const { tokens, bytes } = documents.test.units();
  assert.equal(new Set(tokens.map((count, i) => `${count - 1} ${bytes[i]}`)).size, 5);
});

test("overlapping blocks predict the same tokens with more context", async () => {
  const [apart, overlapping] = [await run({ epochs: 1 }), await run({ epochs: 1, data: await texts({ stride: 4 }) })];
  assert.is(overlapping.results!.before.val!.rows, apart.results!.before.val!.rows);
  assert.not.equal(overlapping.results!.before.val!.loss, apart.results!.before.val!.loss);
});

test("prompts of completions are context and do not contribute to the loss", async () => {
  const rows = Array.from({ length: 24 }, (_, i) => ({
    prompt: `${"what is it ".repeat(i % 3)}:`,
    completion: " nothing",
  }));
  const data = await texts({}, "rows.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
  const { results, steps } = await run({ data, mode: "all", epochs: 6 });
  const { before, after } = results!;
  const { tokens } = data.val.stats();
  assert.equal([before.val!.rows, tokens], [2 * data.val!.size, 2 * data.val!.size]);
  assert.ok(after.val!.loss < 0.5 * before.val!.loss, `${before.val!.loss} -> ${after.val!.loss}`);
  assert.ok(steps.at(-1)!.accuracy >= 0.5, "of rows that do not count, none can be right");
});

test("a run directory has a PEFT adapter of a language model, which can be trained further", async () => {
  const first = await run();
  const directory = join(folder, "run");
  assert.equal(await first.save(directory), { peft: true });
  const { adapter, baseModel } = await openAdapter(directory);
  try {
    assert.equal([adapter.meta.task.objective, adapter.meta.labels], ["lm", []]);
    for (const [name, { data }] of first.tensors) assertSameBits(name, adapter.tensors.get(name)!.data, data);
    const { rank: _, alpha: __, ...settings } = SMALL;
    const on = await fineTune({ device: await device(), ...(await usual()), ...settings, adapter });
    assert.equal(on.results!.before, first.results!.after);
    await assertFails("settings-of-adapter", ["rank differs from the adapter"], () => run({ adapter, rank: 3 }));
    const classes = await tinyData(messages(12));
    await assertFails("wrong-task", ["not an adapter of a classifier", 'objective "lm"'], () =>
      run({ adapter, data: classes }),
    );
    const score = async (opening: Promise<LanguageModel>) => {
      await using lm = await opening;
      return await lm.score(LINES);
    };
    const loaded = await score(LanguageModel.load(directory, { device: await device(), model: baseModel }));
    assert.equal(await score(LanguageModel.of(baseModel, adapter, { device: await device() })), loaded);
    await assertFails("wrong-task", ["language model", "generate"], async () =>
      Classifier.load(directory, { device: await device() }),
    );
  } finally {
    await baseModel.close();
  }
});

test("an adapter of a classifier is refused for a language model", async () => {
  const { save } = await run({ data: await tinyData(messages(4)), epochs: 1 });
  await save(join(folder, "classifier"));
  const { adapter, baseModel } = await openAdapter(join(folder, "classifier"));
  await baseModel.close();
  await assertFails("wrong-task", ["not an adapter of a language model", 'objective "classification"'], () =>
    run({ adapter }),
  );
});

test("settings that are invalid for a language model are refused", async () => {
  await assertFails("unsupported-mode", ["any other mode", "head of the vocabulary"], () =>
    run({ mode: "last_layer" }),
  );
  await assertFails("options-conflict", ["headBias", "language model"], () => run({ headBias: true }));
  await assertFails("options-conflict", ["headInit"], () => run({ headInit: "normal" }));
  await assertFails("options-conflict", ["wte", "head"], () => run({ targets: ["q", "wte"] }));
  await assertFails("options-conflict", ["pooling", "language model"], () => run({ pooling: "last" }));
  await assertFails("invalid-batch-size", () => run({ batchSize: 1000 }));
  await assertFails("exceeds-context", ["64"], async () =>
    run({ data: await texts({ maxLength: 65 }, "long.txt", LINES) }),
  );
});
