/** Invalid arguments of the API are refused with the argument's name, and no file is left open. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ConfigError, DeviceError } from "../src/core/errors.ts";
import * as ofData from "../src/entries/data.ts";
import * as ofEngine from "../src/entries/engine.ts";
import * as ofRoot from "../src/index.ts";
import { assertFails, temporaryFolder } from "./helpers/border.ts";
import { afterAll, test } from "./helpers/harness.ts";
import { messages, tinyData, tinyModel } from "./helpers/tiny.ts";

const api = { ...ofRoot, ...ofData, ...ofEngine };
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
  const learner = await api.load(saved, { device, model });
  const classic = await api.ClassicModel.load(saved);
  const embedder = await api.Embedder.load({ device, model });
  return { device, model, data, run, classifier, lm, adapter, tokenizer, learner, classic, embedder };
}
type World = Awaited<ReturnType<typeof open>>;
let opened: Promise<World> | undefined;
function world(): Promise<World> {
  opened ??= open();
  return opened;
}
afterAll(async () => {
  if (!opened) return;
  const { model, device } = await opened;
  await model.close();
  device.destroy();
});

type Call = (...args: never[]) => unknown;
interface Arguments {
  /** A valid value for each argument, by name; `options` and `args` are objects of options. */
  good: Record<string, unknown>;
  /** The option that an object of options must have; without one, `options` may be left out. */
  needs?: string;
  /** Other optional arguments. */
  optional?: string[];
  /** Wrong values that are valid here, such as a string where an array of strings can be a single one, or null. */
  also?: Record<string, string[]>;
}
interface Entry extends Required<Arguments> {
  call: Call;
}

/** An array that does not contain ids is refused elsewhere, with the index. */
const OTHER_IDS = { ids: ["an array of strings", "an array of Promises"] };
const ROWS = ["the string", "an array of strings", "an array of Promises"];
const TEXT_OR_TEXTS = ["the string", "an array of strings"];
/** All functions and methods of the API with arguments. */
const listArguments = ({ device, model, data, adapter }: World): Record<string, Arguments> => ({
  openDevice: { good: { name: "wasm", options: {} }, optional: ["name"] },
  loadModel: { good: { nameOrDirectory: directory, options: {} } },
  loadAdapter: { good: { directory: saved, baseModel: model } },
  loadDataset: { good: { spec: { file: join(folder, "none.csv") }, options: {} } },
  loadTexts: { good: { spec: { file: join(folder, "none.txt") }, options: {} } },
  loadTagged: { good: { spec: { file: join(folder, "none.conll") }, options: {} } },
  fineTune: { good: { args: { device, model, data } }, needs: "model" },
  study: { good: { args: { device, model, data, runs: [{}] } }, needs: "runs" },
  crossValidate: { good: { args: { device, model, data } }, needs: "data" },
  train: { good: { rows: [{ text: "a", label: "b" }], options: { model, device } }, also: { rows: ROWS } },
  load: { good: { source: saved, options: { model, device } } },
  "learner.classify": { good: { texts: "a", options: {} }, also: { texts: TEXT_OR_TEXTS } },
  "learner.learn": {
    good: { rows: [{ text: "a", label: "b" }], options: {} },
    optional: ["rows"],
    also: { rows: ROWS },
  },
  "learner.save": { good: { directory: join(folder, "learner"), options: {} } },
  "learner.toBlob": { good: { options: {} } },
  "run.save": { good: { directory: saved, options: {} } },
  "Classifier.load": { good: { directory: saved, options: { device } }, needs: "device" },
  "Classifier.of": {
    good: { adapter, baseModel: model, device, dtype: "f32" },
    optional: ["dtype"],
  },
  "classifier.classify": { good: { texts: ["a"], options: {} }, also: { texts: TEXT_OR_TEXTS } },
  "classifier.score": { good: { texts: ["a"], options: {} }, also: { texts: TEXT_OR_TEXTS } },
  "classifier.tag": { good: { texts: ["a"], options: {} }, also: { texts: TEXT_OR_TEXTS } },
  "classifier.logits": { good: { texts: ["a"] }, also: { texts: TEXT_OR_TEXTS } },
  "classifier.update": { good: { tensors: new Map() } },
  "Embedder.load": { good: { options: { model, device } } },
  "embedder.embed": { good: { texts: ["a"], options: {} }, also: { texts: TEXT_OR_TEXTS } },
  "embedder.similar": { good: { texts: ["a"], to: "a", most: 1 }, optional: ["most"] },
  "ClassicModel.load": { good: { path: saved } },
  "classic.classify": { good: { texts: ["a"] }, also: { texts: TEXT_OR_TEXTS } },
  "classic.unlike": { good: { texts: ["a"] }, also: { texts: TEXT_OR_TEXTS } },
  "classic.score": { good: { texts: ["a"] }, also: { texts: TEXT_OR_TEXTS } },
  "LanguageModel.load": { good: { modelOrRun: directory, options: { device } }, needs: "device" },
  "LanguageModel.of": {
    good: { baseModel: model, adapter: null, options: { device } },
    needs: "device",
    also: { adapter: ["null"] },
  },
  "lm.generate": { good: { prompts: "a", options: { maxNewTokens: 1 } }, also: { prompts: TEXT_OR_TEXTS } },
  "lm.complete": { good: { prompts: "a", options: { maxNewTokens: 1 } }, also: { prompts: TEXT_OR_TEXTS } },
  "lm.score": { good: { text: "a" }, also: { text: ["the string"] } },
  "Tokenizer.load": { good: { options: { model } } },
  "tokenizer.encode": { good: { text: "a", options: {} }, also: { text: ["the string"] } },
  "tokenizer.encodeBytes": { good: { utf8: new Uint8Array(1) } },
  "tokenizer.decode": { good: { ids: [1] }, also: OTHER_IDS },
  "tokenizer.decodeBytes": { good: { ids: [1] }, also: OTHER_IDS },
  registerFile: { good: { path: "a", file: new Blob() } },
  forgetFile: { good: { path: "a" }, also: { path: ["the string"] } },
  setPackageUrl: { good: { url: "/lowrank/" }, also: { url: ["the string"] } },
});

/** The table with what each name calls; what is generated is read to its end. */
function listEntries(values: World): Record<string, Entry> {
  const owners = { ...api, ...values } as unknown as Record<string, Record<string, Call> & Call>;
  const entry = (name: string, { good, needs, optional = [], also = {} }: Arguments): Entry => {
    const [owner, method] = name.split(".") as [string, string | undefined];
    const call = async (...args: never[]) => {
      const result = await (method ? owners[owner]![method]!(...args) : owners[owner]!(...args));
      if (method === "generate") for await (const _ of result as AsyncIterable<unknown>);
    };
    const free = needs === undefined && "options" in good ? ["options"] : [];
    return { call, good, needs: needs ?? "", optional: [...optional, ...free], also };
  };
  return Object.fromEntries(Object.entries(listArguments(values)).map(([name, one]) => [name, entry(name, one)]));
}

/** Functions without arguments that could be invalid. */
const WITHOUT = [
  ...["device", "destroy"],
  ...["meta", "labels", "config", "batchSize", "decodeStream", "tokenizer", "constructor"],
];
/** Functions that only the library itself calls. */
const INTERNAL =
  /^(logits|alone|each|engine|activate|checkDevice|swap|checkAlive|checkLoaded|inTurn|moveToCpu|answer|read|encode|encodeAll|classified|begin|encodeShort|ids|idBytes|encodeText|encodeRow|encodeChunks|encodeAt|gather|rotate|decodeView|write|unknownId|countLogits)$/;

test("every function, class and method of the API is in the table, in Node and in a page", async () => {
  const ENTRIES = listEntries(await world());
  const owners = {
    classifier: api.Classifier,
    classic: api.ClassicModel,
    embedder: api.Embedder,
    lm: api.LanguageModel,
    tokenizer: api.Tokenizer,
  };
  const names = Object.keys(api);
  for (const name of names) {
    const value = (api as Record<string, unknown>)[name];
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
  for (const [name, { call, good, optional, also }] of Object.entries(ENTRIES))
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
  for (const [name, { call, good, needs, optional }] of Object.entries(ENTRIES))
    for (const [i, argument] of Object.keys(good).entries()) {
      if (!(argument === "args" || (argument === "options" && (needs !== "" || optional.includes(argument))))) continue;
      const given = good[argument] as object;
      const withOption = (more: object) => Object.values(good).with(i, { ...given, ...more });
      const odd = await errorIn(call, withOption({ unheardOf: 1 }), name);
      assert.is((odd as ConfigError).code, "unknown-option", name);
      assert.match(odd.message, "unheardOf", name);
      if (needs === "") continue;
      for (const [words, value] of Object.entries({
        undefined,
        "a Promise; is an await missing?": Promise.resolve(1),
      })) {
        const missed = await errorIn(call, withOption({ [needs]: value }), name);
        assert.is((missed as ConfigError).code, "invalid-argument", missed.stack);
        assert.ok(missed.message.startsWith(`${needs}: ${words}`), missed.message);
      }
    }
  const words = { learningrate: "lr", r: "rank", target_modules: "targets", numTrainEpochs: "epochs" };
  const near: [() => Promise<unknown>, string][] = [
    ...Object.entries(words).map(([name, hint]): [() => Promise<unknown>, string] => [
      () => api.fineTune({ device, model, data, [name]: 1, epoch: 2 } as never),
      `did you mean ${hint}?`,
    ]),
    [() => api.fineTune({ device, model, data, load_in_4bit: true } as never), 'did you mean dtype "q4"?'],
    [() => api.study({ device, model, data, runs: [{ lora_alpha: 16 }] } as never), "did you mean alpha?"],
    [() => api.train([], { learning_rate: 1 } as never), "did you mean lr?"],
    [() => api.load(saved, { modle: "a" } as never), "did you mean model?"],
    [() => api.openDevice("wasm", { thread: 1 } as never), "did you mean threads?"],
    [() => lm.complete("a", { temprature: 1 } as never), "did you mean temperature?"],
    [() => api.loadDataset({ file: "a.csv" }, { maxlength: 1 } as never), "did you mean maxLength?"],
    [() => api.Classifier.load(saved, undefined as never), "undefined\n  expected: an object with device"],
    [() => api.LanguageModel.load(directory, device as never), "device without braces\n  expected: { device }"],
    [() => api.fineTune({ model, data } as never), "undefined\n  expected: a device, from `await openDevice()`"],
    [() => api.Classifier.load(saved, { device, onprogress: () => {} } as never), "did you mean onProgress?"],
  ];
  for (const [call, hint] of near) {
    const error = await errorIn(call, [], hint);
    assert.instance(error, ConfigError);
    assert.ok(error.message.includes(hint), error.message);
  }
});

test("a string is accepted as an array of one", async () => {
  const { classifier, lm } = await world();
  assert.equal(await classifier.classify("you have won"), await classifier.classify(["you have won"]));
  assert.equal(await classifier.logits("you have won"), await classifier.logits(["you have won"]));
  const options = { maxNewTokens: 2 };
  assert.equal(await lm.complete("you", options), await lm.complete(["you"], options));
});

test("a closed model, a destroyed one, a released device: each is reported", async () => {
  const { device, model, data, adapter } = await world();
  const closed = await api.loadModel(directory);
  await closed.close();
  await closed.close();
  const refused = (call: () => unknown) => assertFails("already-destroyed", call);
  await refused(() => api.fineTune({ device, model: closed, data }));
  const [gone, released] = [
    await api.Classifier.of(adapter, model, device),
    await api.LanguageModel.of(model, null, { device }),
  ];
  for (const one of [gone, gone, released]) one.destroy();
  for (const call of [
    ...[() => gone.classify("a"), () => gone.logits(["a"]), () => gone.meta],
    ...[
      () => gone.update(new Map()),
      () => released.complete("a"),
      () => released.score("a"),
      () => released.batchSize,
    ],
  ])
    await refused(call);
  const old = await api.openDevice("wasm", { threads: 1 });
  const left = await api.Classifier.of(adapter, model, old);
  old.destroy();
  await refused(() => api.fineTune({ device: old, model, data }));
  await refused(() => api.Classifier.of(adapter, model, old));
  await refused(() => left.classify("a"));
  assert.instance(await left.classify("a").catch((error) => error), DeviceError);
});
