/** Parquet files changed at random. */
import { readFileSync } from "node:fs";
import { packagePath } from "#platform";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedDataset, loadDataset } from "../../src/data/datasets.ts";
import { DataModule } from "../../src/data/wasm.ts";
import { type Case, fuzz } from "./fuzz.ts";
import { mutateBytes, oneIn, pick } from "./mutate.ts";

const SOURCES = ["imdb/plain_text/train/0000", "ag_news/default/train/0000", "types"].map(
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
