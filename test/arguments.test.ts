/** Invalid arguments of the API are refused with the argument's name, and no file is left open. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import * as browser from "../src/browser.ts";
import { ConfigError, DeviceError, type LowrankError } from "../src/errors.ts";
import * as api from "../src/index.ts";
import { assertFails, temporaryFolder } from "./helpers/border.ts";
import { afterAll, test } from "./helpers/harness.ts";
import { messages, tinyData, tinyModel } from "./helpers/tiny.ts";

const folder = temporaryFolder();
const directory = tinyModel(join(folder, "model"));
const saved = join(folder, "run");

/** Valid values for the API. */
async function open() {
  const device = await api.openDevice("wasm", { threads: 1 });
  const model = await api.loadModel(directory);
  const data = await tinyData(messages(8));
  const run = await api.fineTune({ device, model, data, rank: 1, epochs: 1 });
  await run.save(saved);
  const [classifier, lm] = [
    await api.Classifier.load(saved, { device }),
    await api.LanguageModel.load(directory, { device }),
  ];
  const [adapter, tokenizer] = [await api.loadAdapter(saved, model), await api.Tokenizer.load()];
  return { device, model, data, run, classifier, lm, adapter, tokenizer };
}
type World = Awaited<ReturnType<typeof open>>;
let opened: Promise<World> | undefined;
function world(): Promise<World> {
  opened ??= open();
  return opened;
}
afterAll(async () => {
  const { model, device } = await world();
  await model.close();
  device.destroy();
});

type Call = (...args: never[]) => unknown;
interface Entry {
  call: Call;
  /** A valid value for each argument, by name. */
  good: Record<string, unknown>;
  /** Optional arguments. */
  optional?: string[];
  /** Arguments that are objects of options, each with a required option. */
  options?: Record<string, string | undefined>;
  /** Wrong values that are valid here, such as a string where an array of strings can be a single one, or null. */
  also?: Record<string, string[]>;
}

/** An array that does not contain ids is refused elsewhere, with the index. */
const OTHER_IDS = { ids: ["an array of strings", "an array of Promises"] };
const TEXT_OR_TEXTS = ["the string", "an array of strings"];
/** All functions and methods of the API with arguments. */
const listEntries = ({
  device,
  model,
  data,
  run,
  classifier,
  lm,
  adapter,
  tokenizer,
}: World): Record<string, Entry> => ({
  openDevice: {
    call: api.openDevice as Call,
    good: { name: "wasm", options: {} },
    optional: ["name", "options"],
    options: { options: undefined },
  },
  loadModel: {
    call: api.loadModel as Call,
    good: { nameOrDirectory: directory, options: {} },
    optional: ["options"],
    options: { options: undefined },
  },
  loadAdapter: { call: api.loadAdapter as Call, good: { directory: saved, baseModel: model } },
  loadDataset: {
    call: api.loadDataset as Call,
    good: { spec: { file: join(folder, "none.csv") }, options: {} },
    optional: ["options"],
    options: { options: undefined },
  },
  loadTexts: {
    call: api.loadTexts as Call,
    good: { spec: { file: join(folder, "none.txt") }, options: {} },
    optional: ["options"],
    options: { options: undefined },
  },
  fineTune: { call: api.fineTune as Call, good: { args: { device, model, data } }, options: { args: "model" } },
  fineTuneMany: {
    call: api.fineTuneMany as Call,
    good: { args: { device, model, data, runs: [{}] } },
    options: { args: "runs" },
  },
  "run.save": {
    call: ((...args: [string]) => run.save(...args)) as Call,
    good: { directory: saved, options: {} },
    optional: ["options"],
    options: { options: undefined },
  },
  "Classifier.load": {
    call: ((...args) => api.Classifier.load(...args)) as typeof api.Classifier.load as Call,
    good: { directory: saved, options: { device } },
    options: { options: "device" },
  },
  "Classifier.of": {
    call: ((...args) => api.Classifier.of(...args)) as typeof api.Classifier.of as Call,
    good: { adapter, baseModel: model, device, dtype: "f32", adapterName: "first" },
    optional: ["dtype", "adapterName"],
  },
  "Classifier.untrained": {
    call: ((...args) => api.Classifier.untrained(...args)) as typeof api.Classifier.untrained as Call,
    good: { meta: adapter.meta, options: { seed: 1, headInit: "zeros" }, baseModel: model, device },
  },
  "classifier.classify": {
    call: ((...args) => classifier.classify(...args)) as typeof classifier.classify as Call,
    good: { texts: ["a"], options: { adapterNames: ["default"] } },
    optional: ["options"],
    options: { options: undefined },
    also: { texts: TEXT_OR_TEXTS },
  },
  "classifier.score": {
    call: ((...args) => classifier.score(...args)) as typeof classifier.score as Call,
    good: { texts: ["a"], options: { adapterNames: ["default"] } },
    optional: ["options"],
    options: { options: undefined },
    also: { texts: TEXT_OR_TEXTS },
  },
  "classifier.logits": {
    call: ((texts) => classifier.logits(texts)) as Call,
    good: { texts: ["a"] },
    also: { texts: TEXT_OR_TEXTS },
  },
  "classifier.update": { call: ((tensors) => classifier.update(tensors)) as Call, good: { tensors: new Map() } },
  "classifier.loadAdapter": {
    call: ((...args: [string, string]) => classifier.loadAdapter(...args)) as Call,
    good: { directory: saved, name: "second" },
  },
  "classifier.metaOf": { call: ((name) => classifier.metaOf(name)) as Call, good: { name: "default" } },
  "classifier.setAdapter": { call: ((name) => classifier.setAdapter(name)) as Call, good: { name: "default" } },
  "classifier.deleteAdapter": { call: ((name) => classifier.deleteAdapter(name)) as Call, good: { name: "second" } },
  "LanguageModel.load": {
    call: ((...args) => api.LanguageModel.load(...args)) as typeof api.LanguageModel.load as Call,
    good: { modelOrRun: directory, options: { device } },
    options: { options: "device" },
  },
  "LanguageModel.loadTrained": {
    call: ((...args) => api.LanguageModel.loadTrained(...args)) as typeof api.LanguageModel.loadTrained as Call,
    good: { directory: saved, options: { device } },
    options: { options: "device" },
  },
  "LanguageModel.of": {
    call: ((...args) => api.LanguageModel.of(...args)) as typeof api.LanguageModel.of as Call,
    good: { baseModel: model, adapter: null, options: { device } },
    options: { options: "device" },
    also: { adapter: ["null"] },
  },
  "lm.generate": {
    call: (async (prompts, options) => {
      for await (const _ of lm.generate(prompts, options));
    }) as (...args: Parameters<typeof lm.generate>) => Promise<void> as Call,
    good: { prompts: "a", options: { maxNewTokens: 1 } },
    optional: ["options"],
    options: { options: undefined },
    also: { prompts: TEXT_OR_TEXTS },
  },
  "lm.complete": {
    call: ((...args) => lm.complete(...args)) as typeof lm.complete as Call,
    good: { prompts: "a", options: { maxNewTokens: 1 } },
    optional: ["options"],
    options: { options: undefined },
    also: { prompts: TEXT_OR_TEXTS },
  },
  "lm.score": { call: ((text) => lm.score(text)) as Call, good: { text: "a" }, also: { text: ["the string"] } },
  "Tokenizer.load": {
    call: ((...args) => api.Tokenizer.load(...args)) as typeof api.Tokenizer.load as Call,
    good: { options: { model } },
    optional: ["options"],
    options: { options: undefined },
  },
  "tokenizer.encode": {
    call: ((...args) => tokenizer.encode(...args)) as typeof tokenizer.encode as Call,
    good: { text: "a", options: {} },
    optional: ["options"],
    options: { options: undefined },
    also: { text: ["the string"] },
  },
  "tokenizer.encodeBytes": {
    call: ((utf8) => tokenizer.encodeBytes(utf8)) as Call,
    good: { utf8: new Uint8Array(1) },
  },
  "tokenizer.encodeBatch": {
    call: ((texts) => tokenizer.encodeBatch(texts)) as Call,
    good: { texts: ["a"] },
    also: { texts: ["an array of strings"] },
  },
  "tokenizer.decode": { call: ((ids) => tokenizer.decode(ids)) as Call, good: { ids: [1] }, also: OTHER_IDS },
  "tokenizer.decodeBytes": { call: ((ids) => tokenizer.decodeBytes(ids)) as Call, good: { ids: [1] }, also: OTHER_IDS },
  registerFile: { call: browser.registerFile as Call, good: { path: "a", file: new Blob() } },
  forgetFile: { call: browser.forgetFile as Call, good: { path: "a" }, also: { path: ["the string"] } },
  setPackageUrl: { call: browser.setPackageUrl as Call, good: { url: "/lowrank/" }, also: { url: ["the string"] } },
});
/** Functions without arguments that could be invalid. */
const WITHOUT = [
  ...["device", "adapters", "activeAdapter", "disableAdapters", "enableAdapters", "destroy"],
  ...["meta", "labels", "config", "batchSize", "decodeStream", "constructor"],
];
/** Functions that only the library itself calls. */
const INTERNAL =
  /^(alone|each|engine|activate|checkDevice|swap|readActive|checkAlive|checkUnused|checkLoaded|withEngine|createEngine|inTurn|moveToCpu|active|named|read|encodeAll|classified|begin|encodeShort|ids|idBytes|encodeText|encodeChunks|encodeAt|gather|decodeView|write|unknownId)$/;

test("every function, class and method of the API is in the table, in Node and in a page", async () => {
  const ENTRIES = listEntries(await world());
  const owners = { classifier: api.Classifier, lm: api.LanguageModel, tokenizer: api.Tokenizer };
  const names = new Set([...Object.keys(api), ...Object.keys(browser)]);
  for (const name of names) {
    const value = (api as Record<string, unknown>)[name] ?? (browser as Record<string, unknown>)[name];
    if (typeof value !== "function" || /Error$|^RunFailed$/.test(name)) continue;
    if (!Object.values(owners).includes(value as never)) assert.ok(name in ENTRIES, name);
  }
  for (const [owner, type] of Object.entries(owners)) {
    const parent = Object.getPrototypeOf(type.prototype);
    const methods = [type.prototype, ...(parent === Object.prototype ? [] : [parent])].flatMap((prototype) =>
      Object.getOwnPropertyNames(prototype),
    );
    for (const method of methods) {
      // Both classes have the adapter methods; they are tested on one of them.
      const listed = [owner, "classifier"].some((one) => `${one}.${method}` in ENTRIES);
      assert.ok(listed || WITHOUT.includes(method) || INTERNAL.test(method), `${owner}.${method}`);
    }
    for (const name of Object.getOwnPropertyNames(type))
      if (typeof (type as unknown as Record<string, unknown>)[name] === "function") {
        const full = `${type.name.replace("_", "")}.${name}`;
        assert.ok(full in ENTRIES || WITHOUT.includes(full), full);
      }
  }
});

const WRONG: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  "a Promise": () => Promise.resolve("wasm"),
  "a number": () => 7,
  "the string": () => "no such word",
  "an array of strings": () => ["a"],
  "an array of Promises": () => [Promise.resolve("a")],
  "a function": () => () => {},
  "an object": () => ({ unheardOf: 1 }),
  true: () => true,
};

/** The error of a call; throws if it succeeds. */
async function errorIn(call: Call, args: readonly unknown[], what: string): Promise<Error> {
  try {
    await call(...(args as never[]));
  } catch (error) {
    return error as Error;
  }
  throw new Error(`${what} was taken`);
}

/** Values of the right type with invalid content, which other checks refuse. */
function isOfItsKind(good: unknown, wrong: unknown): boolean {
  if (typeof good === "object")
    return Array.isArray(good) && Array.isArray(wrong) && typeof good[0] === typeof wrong[0];
  return typeof good === typeof wrong;
}

test("every invalid argument is a ConfigError with its name; for a Promise it asks about a missing await", async () => {
  const ENTRIES = listEntries(await world());
  const open = readdirSync("/proc/self/fd").length;
  for (const [name, { call, good, optional = [], also = {} }] of Object.entries(ENTRIES))
    for (const [i, argument] of Object.keys(good).entries())
      for (const [words, make] of Object.entries(WRONG)) {
        const wrong = make();
        if (also[argument]?.includes(words) || (wrong === undefined && optional.includes(argument))) continue;
        if (isOfItsKind(good[argument], wrong)) continue;
        const what = `${name}(${argument}: ${words})`;
        const error = await errorIn(call, Object.values(good).with(i, wrong), what);
        assert.instance(error, ConfigError, `${what}: ${error.stack}`);
        // For an object of options, the unknown option can be reported instead.
        const expected =
          words === "an object"
            ? new RegExp(`^(${argument}: |unknown option unheardOf)`)
            : new RegExp(`^${argument}: `);
        assert.match(error.message, expected, what);
        if (words.startsWith("a Promise")) assert.match(error.message, "is an await missing?", what);
      }
  assert.is(readdirSync("/proc/self/fd").length, open);
});

test("unknown options are refused with a suggestion, and missing required options are reported", async () => {
  const { device, model, data, lm } = await world();
  const ENTRIES = listEntries(await world());
  for (const [name, { call, good, options = {} }] of Object.entries(ENTRIES))
    for (const [argument, needed] of Object.entries(options)) {
      const i = Object.keys(good).indexOf(argument);
      const given = good[argument] as object;
      const withOption = (more: object) => Object.values(good).with(i, { ...given, ...more });
      const odd = await errorIn(call, withOption({ unheardOf: 1 }), name);
      assert.is((odd as ConfigError).code, "unknown-option", name);
      assert.match(odd.message, "unheardOf", name);
      if (needed === undefined) continue;
      for (const [words, value] of Object.entries({
        undefined,
        "a Promise; is an await missing?": Promise.resolve(1),
      })) {
        const missed = await errorIn(call, withOption({ [needed]: value }), name);
        assert.is((missed as ConfigError).code, "invalid-argument", missed.stack);
        assert.ok(missed.message.startsWith(`${needed}: ${words}`), missed.message);
      }
    }
  const near: [() => Promise<unknown>, string][] = [
    [() => api.fineTune({ device, model, data, learningrate: 1, epoch: 2 } as never), "did you mean"],
    [() => api.fineTune({ device, modle: model, data } as never), "did you mean model?"],
    [() => api.openDevice("wasm", { thread: 1 } as never), "did you mean threads?"],
    [() => lm.complete("a", { temprature: 1 } as never), "did you mean temperature?"],
    [() => api.loadDataset({ file: "a.csv" }, { maxlength: 1 } as never), "did you mean maxLength?"],
    [() => api.Classifier.load(saved, undefined as never), "options: undefined\n  expected: an object with device"],
    [
      () => api.LanguageModel.load(directory, device as never),
      "options: device without braces\n  expected: { device }",
    ],
    [
      () => api.fineTune({ model, data } as never),
      "device: undefined\n  expected: a device, from `await openDevice()`",
    ],
    [() => api.Classifier.load(saved, { device, onprogress: () => {} } as never), "did you mean onProgress?"],
  ];
  for (const [call, hint] of near) {
    const error = await errorIn(call, [], hint);
    assert.instance(error, ConfigError);
    if (/[?\n]/.test(hint)) assert.ok(error.message.includes(hint), error.message);
  }
});

test("a string is accepted as an array of one", async () => {
  const { classifier, lm } = await world();
  assert.equal(await classifier.classify("you have won"), await classifier.classify(["you have won"]));
  assert.equal(await classifier.logits("you have won"), await classifier.logits(["you have won"]));
  const options = { maxNewTokens: 2 };
  assert.equal(await lm.complete("you", options), await lm.complete(["you"], options));
});

test("a closed model, a destroyed one, a released device, a deleted adapter: each is reported", async () => {
  const { device, model, data, classifier, adapter } = await world();
  const closed = await api.loadModel(directory);
  await closed.close();
  await closed.close();
  const refused = (call: () => unknown, kind: typeof LowrankError = ConfigError) =>
    assertFails(kind, "already-destroyed", call);
  await refused(() => api.fineTune({ device, model: closed, data }));
  await refused(() => api.Classifier.of(adapter, closed, device));
  const gone = await api.Classifier.of(adapter, model, device);
  gone.destroy();
  gone.destroy();
  for (const call of [
    () => gone.classify("a"),
    () => gone.logits(["a"]),
    () => gone.setAdapter("default"),
    () => gone.loadAdapter(saved, "b"),
    () => gone.disableAdapters(),
    () => gone.adapters,
    () => gone.update(new Map()),
  ])
    await refused(call);
  const released = await api.LanguageModel.of(model, null, { device });
  released.destroy();
  for (const call of [() => released.complete("a"), () => released.score("a"), () => released.batchSize])
    await refused(call);
  const old = await api.openDevice("wasm", { threads: 1 });
  const left = await api.Classifier.of(adapter, model, old);
  old.destroy();
  await refused(() => api.fineTune({ device: old, model, data }), DeviceError);
  await refused(() => api.Classifier.of(adapter, model, old), DeviceError);
  await refused(() => left.classify("a"), DeviceError);
  await classifier.loadAdapter(saved, "other");
  classifier.deleteAdapter("other");
  await assertFails("no-such-adapter", ['"other"'], () => classifier.setAdapter("other"));
});
