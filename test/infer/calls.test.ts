/** Many calls on a classifier at a time: joined into batches, each with its own answer, error and end. */
import { getEventListeners } from "node:events";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Classifier } from "../../src/infer/classifier.ts";
import { fingerprint } from "../../src/io/fingerprint.ts";
import { openBaseModel } from "../../src/io/hf.ts";
import { drawTensors, testMeta, writeAdapter } from "../helpers/adapters.ts";
import { assertSameBits, temporaryFolder } from "../helpers/border.ts";
import { counting } from "../helpers/counting.ts";
import { test } from "../helpers/harness.ts";
import { TASKS } from "../helpers/models.ts";
import { TINY, tinyModel } from "../helpers/tiny.ts";

const folder = temporaryFolder();
const base = tinyModel(join(folder, "model"));

/** Texts of other lengths; some are blank. */
const TEXTS = Array.from({ length: 200 }, (_, i) =>
  i % 50 === 7 ? " " : `you have won ${"prize ".repeat(i % 9)}${i}`,
);
/** Batches of 16 texts. */
const BATCHES = 13;

/** A classifier with the adapter in "one"; there is "other". */
async function load() {
  await using model = await openBaseModel(base);
  // An adapter of ours: it reads single texts.
  const base_fingerprint = await fingerprint(model);
  const names = ["one", "other"] as const;
  for (const name of names) {
    const labels = ["a", "b"].map((label) => `${name} ${label}`);
    const task = { ...TASKS.classification, head_bias: true };
    const meta = testMeta({}, { base_model: base, model: TINY, task, labels, settings: {}, base_fingerprint });
    await writeAdapter(join(folder, name), { meta, tensors: drawTensors(meta, name.length) });
  }
  const { backend, written, state } = await counting();
  const classifier = await Classifier.load(join(folder, "one"), { device: backend });
  state.batches = 0;
  return { classifier, backend, written, state };
}

const settle = <T>(calls: readonly Promise<T>[]) =>
  Promise.all(
    calls.map((call) =>
      call.then(
        (value) => ({ value }),
        (error) => ({ error }),
      ),
    ),
  );

test("200 calls take the batches of one call of 200, and have its bits", async () => {
  const { classifier, state } = await load();
  const whole = await classifier.classify(TEXTS);
  assert.is(state.batches, BATCHES);
  const each = await Promise.all(TEXTS.map((text) => classifier.classify(text)));
  assert.equal(each.flat(), whole);
  assert.is(state.batches, 2 * BATCHES);
  const logits = await classifier.logits(TEXTS);
  const alone = await Promise.all(TEXTS.map((text) => classifier.logits(text)));
  assertSameBits("logits", Float32Array.from(alone.flatMap((row) => [...row])), logits);
  // In lists of any length.
  state.batches = 0;
  const calls = Array.from({ length: 21 }, (_, i) => {
    const [from, to] = [(i * (i - 1)) / 2, (i * (i + 1)) / 2];
    return classifier.classify(TEXTS.slice(from, to));
  });
  assert.equal((await Promise.all(calls)).flat(), whole);
  assert.is(state.batches, BATCHES);
  classifier.destroy();
});

test("a text behind a long list is answered with its next batch, and both have their own bits", async () => {
  const { classifier, state } = await load();
  const [whole, alone] = [await classifier.classify(TEXTS), await classifier.classify("you have won")];
  state.batches = 0;
  const ends: string[] = [];
  const list = classifier.classify(TEXTS).finally(() => ends.push("list"));
  // The list is on the device.
  while (state.batches === 0) await new Promise((resolve) => setImmediate(resolve));
  const behind = classifier.classify("you have won").finally(() => ends.push("text"));
  assert.equal([await behind, await list], [alone, whole]);
  assert.equal([...ends, state.batches], ["text", "list", BATCHES]);
  classifier.destroy();
});

test("models of one base share its weights, which stay until the last of them is destroyed", async () => {
  const { classifier, backend, written, state } = await load();
  const texts = TEXTS.slice(0, 20);
  const expected = await classifier.classify(texts);
  const before = written.get("wte.weight");
  const open = (name: string) => Classifier.load(join(folder, name), { device: backend });
  const [one, other] = await Promise.all([open("one"), open("other")]);
  classifier.destroy();
  assert.equal(await one.classify(texts), expected);
  assert.not.equal(await other.classify(texts), expected);
  one.destroy();
  const again = await open("one");
  assert.equal(await again.classify(texts), expected);
  assert.is(written.get("wte.weight"), before, "written once");
  other.destroy();
  again.destroy();
  assert.is(state.sessions, 0);
  (await open("one")).destroy();
  assert.is(written.get("wte.weight"), 2 * before!, "nothing was left of it");
});

test("calls that come while others run are right", async () => {
  const { classifier } = await load();
  const wanted = await classifier.classify(TEXTS);
  const calls: Promise<typeof wanted>[] = [];
  for (let i = 0; i < 1200; i++) {
    calls.push(classifier.classify(TEXTS[i % 200]!));
    // Some wait, some come later.
    if (i % 100 === 99) await calls[i - 60];
  }
  assert.equal(
    (await Promise.all(calls)).flat(),
    calls.map((_, i) => wanted[i % 200]),
  );
  classifier.destroy();
});

test("an error of one call stays its own", async () => {
  const { classifier } = await load();
  const [wanted] = await classifier.classify("you have won");
  const ask = () => classifier.classify("you have won");
  const found = await settle([
    ask(),
    classifier.classify([["a", "pair"]]),
    ask(),
    classifier.classify([]),
    classifier.classify("you have won", { signal: AbortSignal.abort("no more") }),
  ]);
  assert.equal(
    found.map((one) => ("value" in one ? one.value : (one.error.code ?? one.error))),
    [[wanted], "wrong-text-count", [wanted], [], "no more"],
  );
  classifier.destroy();
  const gone = await settle([ask(), ask()]);
  assert.equal(
    gone.map((one) => "error" in one && one.error.code),
    ["already-destroyed", "already-destroyed"],
  );
});

test("a signal ends a call at once, before its turn and between its batches; others are answered", async () => {
  const { classifier, state } = await load();
  const wanted = await classifier.classify(TEXTS);
  const [running, waiting] = [new AbortController(), new AbortController()];
  state.batches = 0;
  state.onBatch = () => {
    if (state.batches === 2) running.abort(new Error("enough"));
  };
  const first = classifier.classify(TEXTS, { signal: running.signal });
  await Promise.resolve();
  const [second, third] = [classifier.classify(TEXTS, { signal: waiting.signal }), classifier.classify(TEXTS[3]!)];
  waiting.abort("not wanted");
  const found = await settle([first, second, third]);
  assert.equal(found[0], { error: running.signal.reason });
  assert.equal(found[1], { error: "not wanted" });
  assert.equal(found[2], { value: [wanted[3]] });
  // The third batch was on its way; then that of the last call.
  assert.is(state.batches, 4);
  // A signal for all calls of a program has one listener, and so no warning, however many there are.
  const { signal } = new AbortController();
  await settle([...Array(20)].map(() => classifier.classify("a", { signal })));
  await settle([classifier.classify([["a", "pair"]], { signal })]);
  assert.is(getEventListeners(signal, "abort").length, 1);
  classifier.destroy();
});

test("of the latest calls the newest is answered, the others end as an aborted fetch does", async () => {
  const { classifier, state } = await load();
  const wanted = await classifier.classify(TEXTS.slice(0, 9));
  state.batches = 0;
  const latest = true;
  const typed: Promise<unknown>[] = [];
  const kept = classifier.classify(TEXTS[0]!);
  for (let i = 1; i < 9; i++) {
    typed.push(classifier.classify(TEXTS[i]!, { latest }));
    // Some come while one before them runs.
    if (i % 3 === 0) await Promise.resolve();
  }
  const found = await settle(typed);
  for (const one of found.slice(0, -1))
    assert.equal("error" in one && [one.error.name, one.error.code], ["AbortError", "newer-call"]);
  assert.equal(found.at(-1), { value: [wanted[8]] });
  assert.equal(await kept, [wanted[0]]);
  assert.ok(state.batches <= 2, `${state.batches} batches`);
  // One that has ended is not told.
  assert.equal(await classifier.classify(TEXTS[5]!, { latest }), [wanted[5]]);
  classifier.destroy();
});
