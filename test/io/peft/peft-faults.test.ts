/** What writing and reading an adapter directory refuses. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { ErrorCode } from "../../../src/core/error-codes.ts";
import { LowrankError } from "../../../src/core/errors.ts";
import { type AdapterMeta, adapterShapes, encodeMeta, parseMeta } from "../../../src/io/peft/adapter-meta.ts";
import { readAdapter, type Tensors } from "../../../src/io/peft/peft.ts";
import { encodeSafetensors } from "../../../src/io/safetensors/safetensors-write.ts";
import { type RunRecord, recordOfAdapter } from "../../../src/record/record.ts";
import { parseRecord } from "../../../src/run/check-record.ts";
import { lastCheckpoint } from "../../../src/run/checkpoint.ts";
import { readRecord } from "../../../src/run/directory.ts";
import type { ClassDetails } from "../../../src/tasks/classification/classification-training.ts";
import { makeRecords } from "../../fuzz/records.ts";
import { drawTensors, LM, model, modeMeta, readAll, testMeta, writeAdapter } from "../../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";
import { TASKS } from "../../helpers/models.ts";

const folder = temporaryFolder();
const describe = (meta: AdapterMeta) => encodeMeta({ ...meta, sha256: "of no tensors" });

test("writing refuses tensors that are missing, extra or of the wrong shape, and leaves nothing behind", async () => {
  const directory = join(folder, "refused");
  const meta = testMeta();
  const write = (change: (tensors: Tensors) => void) => () => {
    const tensors = drawTensors(meta);
    change(tensors);
    return writeAdapter(directory, { meta, tensors });
  };
  await assertFails(
    "wrong-tensors",
    ["head.weight"],
    write((tensors) => tensors.delete("head.weight")),
  );
  const stray = { shape: [1], data: new Float32Array(1) };
  await assertFails(
    "wrong-tensors",
    ["lora.h.2.attn.q.A"],
    write((tensors) => tensors.set("lora.h.2.attn.q.A", stray)),
  );
  await assertFails(
    "wrong-shape",
    ["head.weight", "[2, 8]", "[1]"],
    write((tensors) => tensors.set("head.weight", stray)),
  );
  assert.not.ok(existsSync(directory));
});

/** A good adapter with q and v, changed by `change` before it is read. */
async function damaged(name: string, change: (directory: string) => void | Promise<void>): Promise<() => unknown> {
  const directory = join(folder, `damaged-${name}`);
  const meta = testMeta({ target_modules: ["q", "v"] });
  await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
  await change(directory);
  return () => readAdapter(directory);
}

async function rewrite(path: string, change: (tensors: Tensors) => void): Promise<void> {
  const tensors = await readAll(path);
  change(tensors);
  writeFileSync(path, encodeSafetensors([...tensors].map(([name, t]) => ({ name, dtype: "F32", ...t }))));
}

const PEFT_A = "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight";
const PEFT_B = "base_model.model.transformer.h.1.attn.c_attn.lora_B.weight";
const peftFile = (directory: string) => join(directory, "adapter_model.safetensors");

test("reading names what is missing, misnamed, extra, of the wrong shape or no longer ours", async () => {
  const cases: [string, ErrorCode, string[], (tensors: Tensors) => void][] = [
    ["missing", "wrong-tensors", [PEFT_A, "missing"], (tensors) => tensors.delete(PEFT_A)],
    [
      "prefix",
      "wrong-tensors",
      [PEFT_A],
      (tensors) => {
        tensors.set(PEFT_A.replace("base_model.model.", ""), tensors.get(PEFT_A)!);
        tensors.delete(PEFT_A);
      },
    ],
    [
      "extra",
      "wrong-tensors",
      ["base_model.model.score.bias"],
      (tensors) => tensors.set("base_model.model.score.bias", { shape: [2], data: new Float32Array(2) }),
    ],
    [
      "shape",
      "wrong-shape",
      [PEFT_B, "[24, 6]", "[6, 24]"],
      (tensors) => tensors.set(PEFT_B, { shape: [6, 24], data: tensors.get(PEFT_B)!.data }),
    ],
    ["retrained", "damaged-adapter", [PEFT_B, "block-diagonal"], (tensors) => tensors.get(PEFT_B)!.data.fill(1)],
  ];
  for (const [name, code, words, change] of cases)
    await assertFails(code, words, await damaged(name, (directory) => rewrite(peftFile(directory), change)));
  await assertFails(
    "wrong-tensors",
    ["head.weight", "lora.head.A"],
    await damaged("own", (directory) =>
      rewrite(join(directory, "lowrank.safetensors"), (tensors) => {
        tensors.set("lora.head.A", tensors.get("head.weight")!);
        tensors.delete("head.weight");
      }),
    ),
  );
});

test("one bit of a tensor that was saved is found, in each file that has some", async () => {
  const head = { mode: "last_layer", lora: null } as const;
  for (const [meta, file, tensor] of [
    [testMeta(), "adapter_model.safetensors", PEFT_A],
    [testMeta(), "lowrank.safetensors", "head.weight"],
    [testMeta({}, head), "weights.safetensors", "head.weight"],
  ] as const) {
    const directory = join(folder, `bit ${file}`);
    await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
    await readAdapter(directory);
    await rewrite(join(directory, file), (tensors) => {
      new Uint8Array(tensors.get(tensor)!.data.buffer)[4]! ^= 1;
    });
    await assertFails("damaged-adapter", ["not those that were saved", "SHA-256", directory], () =>
      readAdapter(directory),
    );
  }
});

test("thresholds of another number of labels, and words that every object knows, are refused", async () => {
  const read = (rest: object) => parseMeta(JSON.parse(describe({ ...testMeta(), ...rest })), "here");
  const labels = { task: TASKS["multi-label"], labels: ["a", "b", "c"] };
  read({ ...labels, settings: { thresholds: [0, 0.5, 1] } });
  for (const thresholds of [[], [0.5], [0.5, 0.5, 0.5, 0.5]])
    await assertFails("invalid-adapter-config", ["thresholds must be 3"], () =>
      read({ ...labels, settings: { thresholds } }),
    );
  for (const rope_type of ["constructor", "toString", "__proto__"])
    await assertFails("invalid-model-config", ["rope.scaling.rope_type", rope_type], () =>
      read({ model: { ...testMeta().model, model_type: "llama", rope: { theta: 1, scaling: { rope_type } } } }),
    );
  await assertFails("unsupported-version", () =>
    parseMeta({ format: "lowrank-adapter", version: { valueOf: 1, toString: 1 } }, "here"),
  );
});

test("virtual tokens: other settings of PEFT's than ours, and other rows, are named", async () => {
  const meta = testMeta({}, modeMeta("prefix"));
  for (const [key, value] of Object.entries({ peft_type: "PROMPT_TUNING", num_virtual_tokens: 3, token_dim: 16 })) {
    const directory = join(folder, `virtual-${key}`);
    await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
    const path = join(directory, "adapter_config.json");
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), [key]: value }));
    await assertFails("damaged-adapter", [key, "lowrank.json disagree", JSON.stringify(value), path], () =>
      readAdapter(directory),
    );
  }
  const directory = join(folder, "virtual-rows");
  await writeAdapter(directory, { meta, tensors: drawTensors(meta) });
  const cut = (tensors: Tensors) => tensors.set("prompt_embeddings", { shape: [3, 32], data: new Float32Array(96) });
  await rewrite(peftFile(directory), cut);
  await assertFails("wrong-shape", ["prompt_embeddings", "[4, 32]", "[3, 32]"], () => readAdapter(directory));
  const full = { ...meta, num_virtual_tokens: model.n_positions };
  await assertFails("too-many-virtual-tokens", ["lowrank.json"], () =>
    parseMeta(JSON.parse(describe(full)), "lowrank.json"),
  );
  await assertFails("invalid-adapter-config", ["mode bitfit has no num_virtual_tokens", "4"], () =>
    parseMeta(JSON.parse(describe({ ...meta, mode: "bitfit" })), "lowrank.json"),
  );
});

test("NaN in a tensor that was trained is refused by its name, whichever file it is in", async () => {
  const cases: [file: string, name: string][] = [
    ["adapter_model.safetensors", PEFT_A],
    ["lowrank.safetensors", "head.weight"],
  ];
  for (const [i, [file, name]] of cases.entries())
    await assertFails(
      "not-finite",
      [`${name} is not finite`, file, "NaN at element 3 of"],
      await damaged(`nan-${i}`, (directory) =>
        rewrite(join(directory, file), (tensors) => tensors.get(name)!.data.fill(Number.NaN, 3, 4)),
      ),
    );
  const directory = join(folder, "nan-all");
  const meta = testMeta({}, { mode: "all", lora: null });
  const tensors = drawTensors(meta);
  tensors.get("h.1.ln_1.bias")!.data[7] = Number.NEGATIVE_INFINITY;
  await writeAdapter(directory, { meta, tensors });
  await assertFails("not-finite", ["h.1.ln_1.bias is not finite", "-Infinity at element 7 of [8]"], () =>
    readAdapter(directory),
  );
});

/** A safetensors file whose one tensor of 3 GB takes no room on the disk. */
function sparse(path: string, name: string, metadata: object = {}): void {
  const size = 3 << 28;
  const header = { __metadata__: metadata, [name]: { dtype: "F32", shape: [size], data_offsets: [0, 4 * size] } };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text]));
  truncateSync(path, 8 + text.length + 4 * size);
}

test("a file of 3 GB with a wrong name or shape is refused by its header: its data is never read", async () => {
  const before = process.resourceUsage().maxRSS;
  for (const name of ["stranger", PEFT_A]) {
    const config = { peft_type: "LORA", task_type: "SEQ_CLS", r: 3, lora_alpha: 5, target_modules: ["c_attn"] };
    const directory = join(folder, `sparse-${name}`);
    mkdirSync(directory);
    writeFileSync(join(directory, "adapter_config.json"), JSON.stringify(config));
    sparse(join(directory, "adapter_model.safetensors"), name);
    await assertFails("wrong-tensors", ["lora_B", ...(name === PEFT_A ? [] : ["stranger"])], () =>
      readAdapter(directory, { base: { config: model } }),
    );
    await assertFails(
      "wrong-tensors",
      [name, "adapter_model.safetensors"],
      await damaged(`sparse-${name}`, (place) => sparse(peftFile(place), name)),
    );
    await assertFails(
      "wrong-tensors",
      [name, "lowrank.safetensors"],
      await damaged(`own-${name}`, (place) => sparse(join(place, "lowrank.safetensors"), name)),
    );
  }
  const state = JSON.stringify({ step: 1, seconds: 1, steps: [], evaluations: [] });
  mkdirSync(join(folder, "sparse-run", "checkpoint"), { recursive: true });
  const path = join(folder, "sparse-run", "checkpoint", "step-000000001.safetensors");
  sparse(path, "head.weight", { format: "lowrank-checkpoint", version: "1", state });
  await assertFails("invalid-checkpoint", ["head.weight", "m.head.weight", path], () =>
    lastCheckpoint(join(folder, "sparse-run")),
  );
  assert.ok(process.resourceUsage().maxRSS - before < 300_000, "more than 300 MB");
});

test("an adapter for a model of other dimensions is refused before its data is read", async () => {
  const directory = join(folder, "other-base");
  await writeAdapter(directory, { meta: testMeta(), tensors: drawTensors(testMeta()) });
  const base = { config: { ...model, n_layer: 3 }, directory: "some/base" };
  await assertFails("wrong-base-model", ["n_layer = 2", "n_layer = 3 (some/base)"], () =>
    readAdapter(directory, { base }),
  );
});

test("a checkpoint is refused by what its state and its tensors say", async () => {
  const good = { format: "lowrank-checkpoint", version: "1" };
  const state = { step: 1, seconds: 1, steps: [], evaluations: [] };
  const three = (data: Float32Array) =>
    ["x", "m.x", "v.x"].map((name) => ({ name, shape: [2], dtype: "F32" as const, data }));
  const refuse = (code: ErrorCode, words: string[], text: string, tensors = three(new Float32Array(2))) => {
    const run = mkdtempSync(join(folder, "checkpoint-"));
    mkdirSync(join(run, "checkpoint"));
    const path = join(run, "checkpoint", "step-000000001.safetensors");
    writeFileSync(path, encodeSafetensors(tensors, { ...good, state: text }));
    return assertFails(code, [path, ...words], () => lastCheckpoint(run));
  };
  await refuse("invalid-json", ["JSON"], "{");
  await refuse("exceeds-limit", ["too many levels"], `{"step":${"[".repeat(100)}${"]".repeat(100)}}`);
  for (const bad of ["null", "[]", "5", '"x"']) await refuse("invalid-field", ["an object"], bad);
  for (const key of ["step", "seconds", "steps", "evaluations"])
    for (const bad of [null, "x", -1, [5], {}])
      await refuse("invalid-field", [key], JSON.stringify({ ...state, [key]: bad }));
  await refuse("not-finite", ["v.x is not finite", "element 1"], JSON.stringify(state), [
    ...three(new Float32Array(2)).slice(0, 2),
    { name: "v.x", shape: [2], dtype: "F32", data: Float32Array.of(0, Number.NaN) },
  ]);
  await refuse(
    "invalid-checkpoint",
    ["no v.x of the same shape"],
    JSON.stringify(state),
    three(new Float32Array(2)).slice(0, 2),
  );
});

test("reading refuses a configuration that was changed, is damaged, or is not there", async () => {
  const cases: [ErrorCode, words: string[], before: string | RegExp, after: string, file?: string][] = [
    ["damaged-adapter", ["lora_alpha", "5", "50"], '"lora_alpha": 5', '"lora_alpha": 50', "adapter_config.json"],
    ["invalid-json", ["JSON"], /.....$/s, ""],
    ["invalid-value", ["rank", "0"], '"r": 3', '"r": 0'],
    ["unknown-value", ["target module", '"Q"', "did you mean q"], '"q"', '"Q"'],
    ["unsupported-version", ["2"], '"version": 1', '"version": 2'],
    ["invalid-adapter-config", ["no settings", "mood"], '"settings"', '"mood"'],
  ];
  for (const [i, [code, words, before, after, file = "lowrank.json"]] of cases.entries()) {
    const read = await damaged(`config-${i}`, (directory) => {
      const path = join(directory, file);
      writeFileSync(path, readFileSync(path, "utf8").replace(before, after));
    });
    await assertFails(code, words, read);
  }
  await assertFails("not-an-adapter", ["lowrank.json", "no such directory"], () =>
    readAdapter(join(folder, "nowhere")),
  );
  mkdirSync(join(folder, "stranger"));
  writeFileSync(join(folder, "stranger", "cat.png"), "");
  await assertFails("not-an-adapter", ["lowrank.json", "cat.png"], () => readAdapter(join(folder, "stranger")));
});

test("every key of lowrank.json with every wrong value: refused by an error of ours, or a value like any other", async () => {
  const sites = [{ site: "h.0.attn.q", r: 2, scale: 0.5 }];
  const settings = {
    ...{ maxLength: 9, padTo: 9, dtype: "f16", vocabulary: "gpt2", temperature: 2 },
    ...{ positive: 1, threshold: 0.5, thresholds: [0.5, 0.5] },
  };
  const texts = [
    testMeta({ layers_to_transform: [0, 1], sites, modulesToSave: ["ln_f.bias"] }, { settings }),
    testMeta({}, { ...modeMeta("adapter"), settings }),
    testMeta({}, { ...modeMeta("prompt"), settings }),
  ].map(describe);
  /** Values of the right kind, where all of them are good. */
  const free =
    /(base_model|sha256|vocabulary)="x"$|labels\.\d="x"$|(lora_alpha|epsilon|scale|temperature)=1\.5$|scale=-1$|(sites|modulesToSave)=\[\]$|settings=\{\}$/;
  const wrong = [null, "x", -1, 1.5, [], {}];
  const accepted: string[] = [];
  const visit = (text: string, path: string[], value: unknown) => {
    if (typeof value === "object" && value !== null)
      for (const [key, inside] of Object.entries(value)) visit(text, [...path, key], inside);
    for (const bad of path.length > 0 ? wrong : []) {
      const json = JSON.parse(text);
      const parent = path.slice(0, -1).reduce((at, key) => at[key], json);
      if (bad === parent[path.at(-1)!]) continue;
      parent[path.at(-1)!] = bad;
      const what = `${path.join(".")}=${JSON.stringify(bad)}`;
      try {
        adapterShapes(parseMeta(json, "lowrank.json"));
        if (!free.test(what)) accepted.push(what);
      } catch (error) {
        if (!(error instanceof LowrankError)) throw new Error(`${what}: ${error}`);
      }
    }
  };
  for (const text of texts) visit(text, [], JSON.parse(text));
  assert.equal(accepted, []);
  const deep = JSON.parse(texts[0]!);
  deep.model.n_layer = 1e9;
  await assertFails("invalid-model-config", ["n_layer", "from 1 to 1024"], () => parseMeta(deep, "lowrank.json"));
});

test("every value of a run.json is checked where it is read, and the error says where it is", async () => {
  const directory = join(folder, "run");
  mkdirSync(directory);
  const write = (json: unknown) => writeFileSync(join(directory, "run.json"), JSON.stringify(json));
  const accepted = new Set<string>();
  for (const record of makeRecords()) {
    write(record);
    // NaN, where there is no interval, is null in JSON.
    assert.equal(JSON.parse(JSON.stringify(await readRecord(directory))), record);
    const visit = async (path: string[], value: unknown) => {
      // Of a list, the first.
      const inside = Object.entries(typeof value === "object" && value !== null ? value : {});
      for (const [key, one] of Array.isArray(value) ? inside.slice(0, 1) : inside) await visit([...path, key], one);
      if (path.length === 0) return;
      const json = structuredClone(record);
      const parent = path.slice(0, -1).reduce((at, key) => at[key as never], json);
      Object.assign(parent, { [path.at(-1)!]: [[]] });
      try {
        await parseRecord(json, "run.json");
        accepted.add(path.join("."));
      } catch (error) {
        assert.instance(error, LowrankError, `${path.join(".")}: ${error}`);
        assert.match((error as Error).message, /where: +run\.json/);
      }
    };
    await visit([], record);
  }
  const free = /^(format|version|peftObstacle|data\.\w+(\.0)?|settings\.rank)$/;
  assert.equal(
    [...accepted].filter((path) => !free.test(path)),
    [],
  );
  const [good] = makeRecords() as [RunRecord];
  const { test: results } = good.results!;
  Object.assign(results!.compared[1]!.against!.difference, { low: "0" });
  write(good);
  const where = ["results.test.compared[1].against.difference.low is invalid", "expected: a number"];
  await assertFails("invalid-field", where, () => readRecord(directory));
  for (const [other, code, ...words] of [
    [[], "not-a-run-directory", "another format"],
    [{ ...good, format: "x" }, "not-a-run-directory", "another format"],
    [{ ...good, version: 3 }, "unsupported-version", "version 3", "make it again, or use it with the version"],
    [{ ...good, version: 5 }, "unsupported-version", "version 5", "a newer version of Lowrank"],
  ] as const) {
    write(other);
    await assertFails(code, words, () => readRecord(directory));
  }
});

test("a number of a run.json that is null was not finite, but where null means that there is none", async () => {
  const [good] = makeRecords() as [RunRecord];
  const { test: results, after } = good.results!;
  const calibrationOf = ({ details }: typeof results) => (details as ClassDetails).calibration;
  Object.assign(after.val!, { loss: null });
  Object.assign(results.compared[0].measured, { mcc: null });
  Object.assign(calibrationOf(results).error, { high: null });
  const { after: loss, test: read } = (await parseRecord(good, "run.json")).results!;
  const figures = [loss.val!.loss, calibrationOf(read).error.high, read.compared[0].measured.mcc];
  assert.equal(figures, [Number.NaN, Number.NaN, null]);
  assert.is((await parseRecord({ ...good, results: null }, "run.json")).results, null);
});

test("the record of an adapter from elsewhere is one that is read again, whatever it learns", async () => {
  for (const rest of [{}, LM, { task: TASKS.regression, labels: ["score"] }, modeMeta("prompt"), modeMeta("bitfit")]) {
    const meta = testMeta({ target_modules: ["c_attn"] }, { model, ...rest });
    const record = recordOfAdapter({ meta, tensors: drawTensors(meta) }, "adapter.zip");
    assert.equal(await parseRecord(JSON.parse(JSON.stringify(record)), "run.json"), record);
  }
});
