/** The settings of a run, read from text. */
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../src/core/error-codes.ts";
import { TARGETS } from "../../src/core/names.ts";
import type { TrainingData } from "../../src/data/training-data.ts";
import { type BaseModel, resolveModel } from "../../src/io/hf.ts";
import { newRecord } from "../../src/record/record.ts";
import { resolveSettings } from "../../src/run/load-data.ts";
import { dataSpec, mergePreset, PRESETS, pickSettings, readSetting, trainOptions } from "../../src/run/settings.ts";
import { TRAINING } from "../../src/tasks/training.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import {
  ALL_SETTINGS,
  flagTexts,
  isOffered,
  offeredChoices,
  RUN_SETTINGS,
  type RunSettings,
  SETTINGS,
} from "../../src/train/settings.ts";
import { assertFails } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { TINY } from "../helpers/tiny.ts";

test("a setting's value from its text: numbers, switches and lists by their names, and texts as they are", async () => {
  for (const [name, text, value] of [
    ["rank", "16", 16],
    ["lr", "1e-3", 0.001],
    ["mode", "last_block", "last_block"],
    ["scaling", "alpha/r", "alpha/r"],
    ["headBias", "false", false],
    ["balance", "true", true],
    ["padding", "longest", "longest"],
    ["targets", "q, v", ["q", "v"]],
    ["targets", "q+v", ["q", "v"]],
    ["targets", "all", [...TARGETS]],
    ["layers", "5-7,0", [0, 5, 6, 7]],
    ["layers", "0+2", [0, 2]],
    ["layers", "all", null],
    ["fractions", ".8,.2,0", [0.8, 0.2, 0]],
    // The names of files and columns can be anything.
    ["textColumn", "0", "0"],
    ["labelColumn", "true", "true"],
    ["model", "a,b+c", "a,b+c"],
    // What is no number is refused where the setting is checked.
    ["rank", "four", "four"],
    ["rank", "", ""],
  ] as const)
    assert.equal(readSetting(name, text), value, `${name} ${text}`);
  await assertFails("invalid-lora-config", ["layers", "3-x"], () => readSetting("layers", "3-x"));
});

test("the values of all choices are read as they are, and all settings are found among a program's", () => {
  for (const [name, { choices = [] }] of Object.entries(SETTINGS) as [string, { choices?: readonly string[] }][])
    for (const choice of choices) assert.is(readSetting(name, choice), choice);
  assert.is(new Set(RUN_SETTINGS).size, RUN_SETTINGS.length);
  const flags = {
    device: "wasm",
    out: "runs/a",
    rank: 4,
    stride: 8,
    adapter: undefined,
    textColumn: "a",
    keep: "last",
  };
  assert.equal(pickSettings(flags as object), { stride: 8, textColumn: "a", rank: 4, keep: "last" });
});

test("a source among the flags replaces the preset's", () => {
  const preset = { model: "gpt2", dataset: "sms", balance: true } as const;
  assert.equal(mergePreset({ data: "a.csv" }, preset), { model: "gpt2", balance: true, data: "a.csv" });
  assert.equal(mergePreset({ data: "a.csv", test: "b.csv" }, preset), { model: "gpt2", data: "a.csv", test: "b.csv" });
  assert.equal(mergePreset({ objective: "lm" }, preset), { model: "gpt2", balance: true, objective: "lm" });
  // Few rows of the preset's data set alone, when no data are given.
  const few = { dataset: "spam", trainRows: 100 };
  assert.equal(mergePreset({ rank: 4 }, few), { ...few, rank: 4 });
  assert.equal(mergePreset({ dataset: "spam" }, few), { dataset: "spam" });
  assert.equal(mergePreset({ data: "a.csv" }, few), { data: "a.csv" });
  assert.equal(mergePreset({ data: "a.csv", trainRows: 9 }, few), { data: "a.csv", trainRows: 9 });
  // A sweep has a base between the two, whose rows are its own.
  const ofSweep = (flags: RunSettings, base: RunSettings) => {
    const { data, dataset, trainRows } = mergePreset(flags, mergePreset(base, PRESETS.quickstart));
    return [data ?? dataset, trainRows];
  };
  assert.equal(ofSweep({}, {}), ["spam", 100]);
  assert.equal(ofSweep({ data: "a.csv" }, {}), ["a.csv", undefined]);
  assert.equal(ofSweep({}, PRESETS.paper), ["sms", undefined]);
  assert.equal(ofSweep({}, { data: "a.csv", trainRows: 9 }), ["a.csv", 9]);
  assert.equal(ofSweep({ dataset: "spam" }, { data: "a.csv", trainRows: 9 })[1], undefined);
});

test("messages begin with the default base, a language model with one that writes; a model that is named stays", async () => {
  const baseOf = (flags: RunSettings, preset: "quickstart" | "paper" = "quickstart") =>
    mergePreset(flags, PRESETS[preset]).model;
  const messages: RunSettings[] = [
    {},
    { data: "a.csv" },
    { data: "a.csv", objective: "regression" },
    { data: "a.csv", val: "b.csv", test: "c.csv", objective: "multi-label" },
    { dataset: "languages" },
    { dataset: "stanfordnlp/imdb" },
  ];
  for (const flags of messages) {
    assert.is(baseOf(flags), "e5-small-cut", JSON.stringify(flags));
    assert.is(baseOf({ ...flags, model: "distilgpt2" }), "distilgpt2");
  }
  assert.is(baseOf({ objective: "lm", data: "a.txt" }), "gpt2-micro");
  assert.is(baseOf({ objective: "lm", data: "a.txt", model: "gpt2" }), "gpt2");
  assert.is(baseOf({ data: "a.csv" }, "paper"), "gpt2");
  // The default base cannot write: that is said before data are read, and by the library before a run begins.
  const cut = { config: TINY, directory: await resolveModel("e5-small-cut") } as BaseModel;
  const words = ["e5-small-cut cannot write", "gpt2-micro"];
  const data = { objective: "lm", stats: {} } as TrainingData;
  const settings: RunSettings = { objective: "lm", data: "a.txt", model: "e5-small-cut" };
  await assertFails("wrong-task", words, () => resolveSettings(settings, cut, undefined, async () => data));
  await assertFails("wrong-task", words, () => newRecord({ model: cut, data }, {}, DEFAULTS));
});

test("each setting that people are offered has a flag; what the published experiment alone has, has none", () => {
  for (const name of RUN_SETTINGS) {
    assert.is(name in flagTexts(), isOffered(name), name);
    if (!isOffered(name)) assert.is(ALL_SETTINGS[name].field, undefined, name);
  }
  const offered = (["pooling", "init", "scaling", "split"] as const).map(offeredChoices);
  assert.equal(offered, [
    ["mean", "cls", "last-token"],
    ["gaussian", "kaiming"],
    ["alpha/r", "alpha/sqrt(r)"],
    ["stratified", "random", "ordered"],
  ]);
});

test("what tasks lack, or have another default of, is a setting", () => {
  for (const { lacks, defaults, pageDefaults } of Object.values(TRAINING)) {
    for (const key of Object.keys({ ...lacks, ...defaults, ...pageDefaults })) {
      const [name, word] = key.split(" ");
      assert.ok(RUN_SETTINGS.includes(name as "rank"), key);
      const { choices } = ALL_SETTINGS[name as "split"];
      if (word !== undefined && choices) assert.ok(choices.includes(word as "random"), key);
    }
    for (const [name, value] of Object.entries(defaults))
      assert.not.equal(value, ALL_SETTINGS[name as "rank"].default, name);
  }
});

test("a setting that a task lacks is refused with the reason and those that it has, unless it has no effect", async () => {
  const lm = { objective: "lm", data: "a.txt" } as const;
  for (const [given, words] of [
    [
      { ...lm, classWeights: "auto" },
      ["classWeights is invalid for a language model: texts have no classes", "batchSize"],
    ],
    [{ ...lm, headInit: "normal" }, ["headInit is invalid", "its token table"]],
    [{ ...lm, targets: ["q", "wte"] }, ['targets "wte" is invalid', "the token table is also the head"]],
    [{ ...lm, dedupe: true, stride: 4 }, ["dedupe is invalid", "settings of a language model: data,", "stride"]],
    [
      { objective: "regression", data: "a.csv", split: "stratified" },
      ['split "stratified" is invalid', "random, ordered"],
    ],
    [{ objective: "multi-label", data: "a.csv", calibrate: true }, ["calibrate is invalid", "one class a message"]],
    [{ data: "a.csv", labelSeparator: "," }, ["labelSeparator is invalid for a classifier", "has one class"]],
  ] as [RunSettings, string[]][])
    await assertFails("options-conflict", words, () => {
      trainOptions(given);
      dataSpec(given);
    });
  const none: RunSettings = { ...lm, classWeights: "none", pooling: "last-token", dedupe: false, padding: "none" };
  assert.is(trainOptions(none).pooling, "last-token");
  assert.equal(dataSpec(none), { file: ["a.txt"] });
  assert.equal(dataSpec({ data: "a.csv", test: "b.csv" }), { train: "a.csv", test: "b.csv" });
});

test("settings of data are checked before data is read", async () => {
  for (const [code, given, words] of [
    ["invalid-value", { padding: -1 }, ["padding is invalid"]],
    ["invalid-argument", { balance: "yes" }, ["balance", "true or false"]],
    ["invalid-argument", { encoding: 8 }, ["encoding", "a string"]],
    ["unknown-value", { padding: "longst" }, ["unknown padding", "none, longest"]],
  ] as [ErrorCode, object, string[]][])
    await assertFails(code, words, () => dataSpec({ data: "a.csv", ...given }));
});
