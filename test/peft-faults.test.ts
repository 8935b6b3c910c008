/** What writing and reading an adapter directory refuses. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { ConfigError, FormatError, LowrankError, ShapeError } from "../src/errors.ts";
import { adapterShapes, encodeMeta, parseMeta } from "../src/io/adapter-meta.ts";
import { readAdapter, type Tensors } from "../src/io/peft.ts";
import { encodeSafetensors } from "../src/io/safetensors.ts";
import { readRunConfig } from "../src/train/run-directory.ts";
import { metaOf, readAll, tensorsOf, writeAdapter } from "./adapters.ts";
import { assertFails, temporaryFolder } from "./border.ts";
import { test } from "./harness.ts";

const folder = temporaryFolder();

test("writing refuses tensors that are missing, extra or of the wrong shape, and leaves nothing behind", async () => {
  const directory = join(folder, "refused");
  const meta = metaOf();
  const write = (change: (tensors: Tensors) => void) => () => {
    const tensors = tensorsOf(meta);
    change(tensors);
    return writeAdapter(directory, { meta, tensors });
  };
  await assertFails(
    FormatError,
    ["head.weight"],
    write((tensors) => tensors.delete("head.weight")),
  );
  const stray = { shape: [1], data: new Float32Array(1) };
  await assertFails(
    FormatError,
    ["lora.h.2.attn.q.A"],
    write((tensors) => tensors.set("lora.h.2.attn.q.A", stray)),
  );
  await assertFails(
    ShapeError,
    ["head.weight", "[2, 8]", "[1]"],
    write((tensors) => tensors.set("head.weight", stray)),
  );
  assert.not.ok(existsSync(directory));
});

/** A good adapter with q and v, changed by `change` before it is read. */
async function damaged(name: string, change: (directory: string) => void | Promise<void>): Promise<() => unknown> {
  const directory = join(folder, `damaged-${name}`);
  const meta = metaOf({ target_modules: ["q", "v"] });
  await writeAdapter(directory, { meta, tensors: tensorsOf(meta) });
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
  const cases: [string, typeof FormatError, string[], (tensors: Tensors) => void][] = [
    ["missing", FormatError, [PEFT_A, "missing"], (tensors) => tensors.delete(PEFT_A)],
    [
      "prefix",
      FormatError,
      [PEFT_A],
      (tensors) => {
        tensors.set(PEFT_A.replace("base_model.model.", ""), tensors.get(PEFT_A)!);
        tensors.delete(PEFT_A);
      },
    ],
    [
      "extra",
      FormatError,
      ["base_model.model.score.bias"],
      (tensors) => tensors.set("base_model.model.score.bias", { shape: [2], data: new Float32Array(2) }),
    ],
    [
      "shape",
      ShapeError,
      [PEFT_B, "[24, 6]", "[6, 24]"],
      (tensors) => tensors.set(PEFT_B, { shape: [6, 24], data: tensors.get(PEFT_B)!.data }),
    ],
    ["retrained", FormatError, [PEFT_B, "block-diagonal"], (tensors) => tensors.get(PEFT_B)!.data.fill(1)],
  ];
  for (const [name, kind, words, change] of cases)
    await assertFails(kind, words, await damaged(name, (directory) => rewrite(peftFile(directory), change)));
  await assertFails(
    FormatError,
    ["head.weight", "lora.head.A"],
    await damaged("own", (directory) =>
      rewrite(join(directory, "lowrank.safetensors"), (tensors) => {
        tensors.set("lora.head.A", tensors.get("head.weight")!);
        tensors.delete("head.weight");
      }),
    ),
  );
});

test("reading refuses a configuration that was changed, is damaged, or is not there", async () => {
  const edit = (file: string, change: (text: string) => string) => (directory: string) =>
    writeFileSync(join(directory, file), change(readFileSync(join(directory, file), "utf8")));
  await assertFails(
    FormatError,
    ["lora_alpha", "5", "50"],
    await damaged(
      "alpha",
      edit("adapter_config.json", (text) => text.replace('"lora_alpha": 5', '"lora_alpha": 50')),
    ),
  );
  await assertFails(
    FormatError,
    ["JSON"],
    await damaged(
      "json",
      edit("lowrank.json", (text) => text.slice(0, -5)),
    ),
  );
  await assertFails(
    ConfigError,
    ["rank", "0"],
    await damaged(
      "rank",
      edit("lowrank.json", (text) => text.replace('"r": 3', '"r": 0')),
    ),
  );
  await assertFails(
    ConfigError,
    ["target module", '"Q"', "did you mean q"],
    await damaged(
      "target",
      edit("lowrank.json", (text) => text.replace('"q"', '"Q"')),
    ),
  );
  await assertFails(
    FormatError,
    ["version", "2"],
    await damaged(
      "version",
      edit("lowrank.json", (text) => text.replace('"version": 1', '"version": 2')),
    ),
  );
  await assertFails(
    FormatError,
    ["no settings", "mood"],
    await damaged(
      "keys",
      edit("lowrank.json", (text) => text.replace('"settings"', '"mood"')),
    ),
  );
  await assertFails(ConfigError, ["lowrank.json", "no such directory"], () => readAdapter(join(folder, "nowhere")));
  mkdirSync(join(folder, "stranger"));
  writeFileSync(join(folder, "stranger", "cat.png"), "");
  await assertFails(ConfigError, ["lowrank.json", "cat.png"], () => readAdapter(join(folder, "stranger")));
});

test("every key of lowrank.json with every wrong value: refused by an error of ours, or a value like any other", () => {
  const sites = [{ site: "h.0.attn.q", r: 2, scale: 0.5 }];
  const settings = { maxLength: 9, padTo: 9, dtype: "f16" };
  const good = metaOf({ layers_to_transform: [0, 1], sites, also: ["ln_f.bias"] }, { settings });
  const text = encodeMeta(good);
  /** Values of the right kind, where all of them are good. */
  const free =
    /base_model="x"$|labels\.\d="x"$|(lora_alpha|epsilon|scale)=1\.5$|scale=-1$|(sites|also)=\[\]$|settings=\{\}$/;
  const wrong = [null, "x", -1, 1.5, [], {}];
  const accepted: string[] = [];
  const visit = (path: string[], value: unknown) => {
    if (typeof value === "object" && value !== null)
      for (const [key, inside] of Object.entries(value)) visit([...path, key], inside);
    for (const bad of path.length > 0 ? wrong : []) {
      const json = JSON.parse(text);
      const parent = path.slice(0, -1).reduce((at, key) => at[key], json);
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
  visit([], JSON.parse(text));
  assert.equal(accepted, []);
  const deep = JSON.parse(text);
  deep.model.n_layer = 1e9;
  assert.throws(() => parseMeta(deep, "lowrank.json"), /n_layer .* at most 1024/s);
});

test("a config.json of a run with wrong values is refused by an error of ours", async () => {
  const directory = join(folder, "run");
  mkdirSync(directory);
  const good = { model: "m", objective: "lm", data: {}, options: {}, padTo: 0, maxLength: 9, labels: [], counts: {} };
  const write = (config: unknown) => writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  write(good);
  assert.equal(await readRunConfig(directory), good);
  for (const key of Object.keys(good))
    for (const bad of [null, 1.5, -1, [1], "x"])
      if (!(key === "model" && bad === "x")) {
        write({ ...good, [key]: bad });
        await assertFails(LowrankError, [key], () => readRunConfig(directory));
      }
  write([]);
  await assertFails(FormatError, ["an object"], () => readRunConfig(directory));
});
