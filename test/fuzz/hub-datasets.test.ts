/** Parquet files changed at random; and cards and lists of files of data sets on the hub. */
import { readFileSync } from "node:fs";
import { packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { type Case, type Files, fuzz } from "./fuzz.ts";
import { mutateBytes, mutateJson, oneIn, pick } from "./mutate.ts";

const SOURCES = ["imdb/plain_text/train-00000-of-00001", "ag_news/data/train-00000-of-00001", "types"].map(
  (name) => new Uint8Array(readFileSync(packagePath(`test/hub-datasets/${name}.parquet`))),
);

let module: Promise<DataModule> | undefined;
async function options() {
  module ??= DataModule.load();
  return { module: await module, maxLength: 32 };
}

/** All rows can be batched, and have one of the classes. */
function check({ train, val, test, labels }: LoadedDataset): void {
  for (const set of [train, val, test]) {
    const batch = set.batch(set.positions());
    if (batch.labels.some((label) => label < 0 || label >= labels.length)) throw new Error("a class that is none");
  }
}

fuzz<Case>({
  name: "parquet",
  count: 200,
  make(rng) {
    let bytes: Uint8Array = pick(rng, SOURCES);
    for (let i = rng.below(3); i >= 0; i--) {
      const changed = mutateBytes(rng, bytes);
      // The footer's length is at the end: what has another one is refused at once.
      bytes = changed.length === bytes.length || oneIn(rng, 4) ? changed : bytes;
    }
    return { files: new Map([["x.parquet", bytes]]) };
  },
  async read({ files }) {
    const data = await loadDataset(
      { file: bytesReader("x.parquet", files.get("x.parquet") as Uint8Array) },
      { ...(await options()), skipFaulty: true },
    );
    return () => check(data);
  },
});

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const PLACE = "hub/datasets--someone--set";
const ROWS = Array.from({ length: 20 }, (_, i) => `a text about thing ${i},${i % 2}`).join("\n");
const PATHS = ["a/train-0.csv", "a/train-1.csv", "a/test-0.csv", "b/train.csv"];

const CARD = {
  dataset_info: [
    { config_name: "a", features: [{ name: "label", dtype: { class_label: { names: { 0: "x", 1: "y" } } } }] },
  ],
  configs: [
    {
      config_name: "a",
      data_files: [
        { split: "train", path: "a/train-*" },
        { split: "test", path: ["a/test-[0-9].csv"] },
      ],
      default: true,
    },
    { config_name: "b", data_dir: "b" },
  ],
};
const TREE = {
  format_version: 1,
  files: Object.fromEntries(["README.md", ...PATHS].map((path) => [path, { size: 20, blob_id: COMMIT }])),
};
const WORDS = {
  keys: ["configs", "config_name", "data_files", "split", "path", "names", "default", "files", "size", "../x.csv", "*"],
  values: ["**", "a/*", "**/*.csv", "[", "train", "test", "../../etc/*", "validation", "b", 1e12, -1, "&a *a"],
};

fuzz<Case>({
  name: "hub-dataset",
  count: 60,
  make(rng) {
    let card = oneIn(rng, 5) ? JSON.stringify(CARD) : new TextDecoder().decode(mutateJson(rng, CARD, WORDS));
    // Signs of YAML that JSON has not.
    for (const sign of ["&a ", "*a", "!a ", "- "])
      if (oneIn(rng, 12))
        card = card.replace(pick(rng, ["{", '"', "["]), (before) => sign.repeat(1 + rng.below(3)) + before);
    const tree = oneIn(rng, 2) ? JSON.stringify(TREE) : mutateJson(rng, TREE, WORDS);
    const files: [string, string | Uint8Array][] = [
      [`${PLACE}/refs/main`, COMMIT],
      [`${PLACE}/trees/${COMMIT}.json`, tree],
      ...["README.md", ...PATHS].map((path): [string, string] => [
        `${PLACE}/snapshots/${COMMIT}/${path}`,
        path === "README.md" ? `---\n${card}\n---\n` : `text,label\n${ROWS}\n`,
      ]),
    ];
    return { files: new Map(files) as Files };
  },
  async read(_, folder) {
    process.env.HF_HOME = folder;
    process.env.HF_HUB_OFFLINE = "1";
    const data = await loadDataset({ name: "someone/set" }, await options());
    return () => check(data);
  },
});
