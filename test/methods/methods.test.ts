/** Every method has what is asked of one; nothing else knows a method by its name. */
import { readdirSync, readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { baseDtype } from "../../src/io/peft/adapter-meta.ts";
import { peftForm } from "../../src/io/peft/peft.ts";
import { METHODS, MODES, type Mode, takesSteps } from "../../src/methods/index.ts";
import { GUIDES, methodConfig, TRAINING } from "../../src/methods/training.ts";
import { parameterList } from "../../src/model/trainable.ts";
import { DEFAULTS } from "../../src/train/options.ts";
import { flagTexts, SETTINGS } from "../../src/train/settings.ts";
import { runSpec } from "../../src/train/sizes.ts";
import { test } from "../helpers/harness.ts";
import { TINY } from "../helpers/tiny.ts";

const HELPERS = ["index.ts", "method.ts", "training.ts"];
const DATA = { objective: "classification", labels: ["0", "1"] } as const;

const specFor = (mode: Mode) => runSpec({ config: TINY }, { ...DATA, labels: [...DATA.labels] }, { ...DEFAULTS, mode });

test("every file of a method is in the list, once", () => {
  const isTraining = (name: string) => name.endsWith("-training.ts");
  const files = readdirSync(packagePath("src/methods")).filter((name) => !HELPERS.includes(name));
  const read = (name: string) => readFileSync(packagePath(`src/methods/${name}`), "utf8");
  const [index, training] = [read("index.ts"), read("training.ts")];
  const names = Object.keys(METHODS) as Mode[];
  assert.is(files.filter((name) => !isTraining(name)).length, names.length);
  for (const name of files)
    assert.ok((isTraining(name) ? training : index).includes(`from "./${name}"`), `${name} is not in the list`);
  for (const lists of [METHODS, TRAINING, GUIDES]) assert.equal(Object.keys(lists), names);
  const titles = names.flatMap((mode) => METHODS[mode].title);
  assert.is(new Set(titles).size, names.length, "two methods with one title");
  // A classic model is by itself: runs on a base model, adapters and pages do not have it.
  assert.equal(
    names.filter((mode) => !MODES.includes(mode)),
    ["classic"],
  );
});

for (const mode of MODES) {
  const { keys, tensors, peft, isSeparate, isFitted, freezesNothing } = METHODS[mode];
  const { settings, rates: usual, describe, config, options } = TRAINING[mode];
  const { choice, about, rates, size, duration, compared } = GUIDES[mode];
  const names = Object.keys(settings) as (keyof typeof settings)[];

  test(`${mode}: settings have words, a range or choices, and a default within them`, () => {
    for (const name of names) {
      assert.ok(SETTINGS[name].modes!.includes(mode), name);
      const { choices, number, kind, field, default: value } = SETTINGS[name];
      assert.match(field!, /^[^:.]+: .+\.$/, `${name}: a label, and what it is`);
      assert.ok(flagTexts()[name], `${name}: no flag`);
      const hasField = choices || number || typeof value === "boolean" || kind;
      assert.ok(hasField, `${name}: no field in the page`);
      if (choices) assert.ok((choices as readonly unknown[]).includes(value), name);
    }
    assert.is(describe !== undefined, names.length > 0, "sizes in words where there are settings");
    if (describe) assert.match(describe(DEFAULTS), /\w+ \d|\d \w+/);
  });

  test(`${mode}: people are told what it does, and a sweep and the page know what to try`, () => {
    assert.ok(choice.length >= METHODS[mode].title.length || mode === "bitfit", choice);
    assert.is(about === undefined, mode === DEFAULTS.mode, "a sentence, unless the page explains the method at length");
    assert.ok(duration > 0);
    if (takesSteps(mode)) assert.ok(rates.lowest > 0 && rates.lowest <= usual[0]);
    if (size) assert.ok(names.includes(size.setting), size.setting);
    for (const { settings: own, rates: [small, large] = usual } of compared ?? []) {
      assert.ok(large <= small);
      for (const name of Object.keys(own)) assert.ok(name in settings, name);
    }
  });

  test(`${mode}: it trains something; what it adds has initial values, and settings and description agree`, () => {
    const spec = specFor(mode);
    const list = parameterList(spec);
    const added = list.filter(({ origin }) => origin === "method");
    assert.is(added.length > 0, tensors !== undefined);
    assert.ok(added.every(({ isTrained }) => isTrained));
    assert.ok(added.length === 0 || added.some(({ initial }) => initial !== undefined));
    assert.is(
      list.every(({ isTrained }) => isTrained),
      freezesNothing === true,
    );
    assert.is(new Set(list.map(({ name }) => name)).size, list.length, "a name twice");
    const own = methodConfig({ ...DEFAULTS, mode });
    for (const key of keys) assert.ok(own[key] !== undefined, `its description lacks ${key}`);
    assert.is(config === undefined, options === undefined);
    for (const [name, value] of Object.entries(options?.(own) ?? {}))
      assert.equal(value, DEFAULTS[name as keyof typeof DEFAULTS], name);
  });

  test(`${mode}: it has a form in PEFT, or what it adds can be merged, or only Lowrank reads it`, () => {
    const { task, config: model, lora, ...own } = specFor(mode);
    const meta = { ...own, base_model: "tiny", model, lora, task, labels: ["0", "1"], settings: {} };
    const form = peftForm(meta);
    assert.is(form === undefined, peft === undefined);
    if (peft) assert.is(form!.config.peft_type, peft.type);
    assert.is(baseDtype(meta), "f32");
    assert.ok(!isSeparate || tensors !== undefined || isFitted, "nothing is added");
  });
}
