/** study.json: what is wrong with it is named, whatever it says. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { runOf } from "../../src/io/peft/open-adapter.ts";
import { beginStudy, findStudy, keepBest, readStudy, type StudyRecord } from "../../src/study/study-record.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";

const folder = temporaryFolder();
const STUDY: StudyRecord = {
  objective: "classification",
  data: { source: { file: "/somewhere/messages.csv" }, sha256: "ab" },
  bases: { gpt2: "cd" },
  spec: { base: { model: "gpt2", rank: 4 }, arms: [{ alpha: [4, 8] }] },
  seeds: 2,
};

test("a study is read as it was written, and is known by its directory and its trials'", async () => {
  const out = join(folder, "whole");
  assert.is(await readStudy(out), undefined);
  await beginStudy(out, STUDY);
  assert.equal(await readStudy(out), STUDY);
  mkdirSync(join(out, "trials", "one"), { recursive: true });
  assert.equal(await Promise.all([out, join(out, "trials", "one")].map(findStudy)), [out, out]);
  assert.equal(await Promise.all([folder, join(out, "trials")].map(findStudy)), [undefined, undefined]);
  // What is asked next is what is resumed; the models are those of all that was asked.
  await beginStudy(out, { ...STUDY, bases: { other: "ef" }, seeds: 3 });
  assert.equal(await readStudy(out), { ...STUDY, bases: { gpt2: "cd", other: "ef" }, seeds: 3 });
});

test("what uses a run takes that of a study which answers, once there is one; any other directory is itself", async () => {
  const out = join(folder, "answers");
  await beginStudy(out, STUDY);
  await assertFails("not-an-adapter", ["no result yet", out], () => runOf(out));
  await keepBest(out, undefined);
  await assertFails("not-an-adapter", ["no result yet", out], () => runOf(out));
  await keepBest(out, { name: "one" });
  assert.equal(await readStudy(out), { ...STUDY, best: "one" });
  assert.is(await runOf(out), join(out, "trials", "one"));
  // While it goes on the one before answers.
  await beginStudy(out, { ...STUDY, seeds: 3 });
  assert.is(await runOf(out), join(out, "trials", "one"));
  for (const other of [folder, join(out, "trials", "one"), "model.zip", "model.gguf", "none"])
    assert.is(await runOf(other), other);
});

test("a directory that a killed process, or the system, has left empty is taken", async () => {
  const out = join(folder, "left");
  mkdirSync(out);
  for (const name of [".study.json.1.lowrank.tmp", ".DS_Store"]) writeFileSync(join(out, name), "");
  await beginStudy(out, STUDY);
  assert.equal(await readStudy(out), STUDY);
});

test("a study of other data, another objective or another base of the same name is refused, with what differs", async () => {
  const out = join(folder, "other");
  await beginStudy(out, STUDY);
  const cases: [change: Partial<StudyRecord>, ...words: string[]][] = [
    [{ data: { source: { file: "more.csv" }, sha256: "cd" } }, "other data", "messages.csv", "more.csv"],
    [{ objective: "lm" }, "another objective", "classification"],
    [{ bases: { gpt2: "ef" } }, "another base model", "fingerprint cd", "fingerprint ef"],
  ];
  for (const [change, ...words] of cases)
    await assertFails("inputs-changed", words, () => beginStudy(out, { ...STUDY, ...change }));
  assert.equal(await readStudy(out), STUDY);
});

test("a study.json of another kind is refused by name", async () => {
  const out = join(folder, "wrong");
  await beginStudy(out, STUDY);
  const path = join(out, "study.json");
  const whole = JSON.parse(readFileSync(path, "utf8"));
  const cases: [change: object, words: string][] = [
    [{ format: "lowrank-run" }, "format lowrank-study"],
    [{ data: null }, "data is invalid"],
    [{ data: { sha256: 1, source: {} } }, "data.sha256"],
    [{ spec: { base: {}, arms: [1] } }, "spec.arms"],
    [{ seeds: 0 }, "seeds"],
    [{ bases: [] }, "bases"],
    [{ bases: { gpt2: 5 } }, "bases"],
    [{ objective: "all" }, "objective"],
    [{ spec: { base: { objective: {} }, arms: [{}] } }, "spec.base"],
  ];
  for (const [change, words] of cases) {
    writeFileSync(path, JSON.stringify({ ...whole, ...change }));
    await assertFails("invalid-field", [words], () => readStudy(out));
  }
  writeFileSync(path, JSON.stringify({ ...whole, version: 2 }));
  await assertFails("unsupported-version", ["the study was written", "version 2"], () => readStudy(out));
});
