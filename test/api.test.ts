/** The public API as its built declarations say it: what is promised, and that its types can be imported. */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { PAGE, printApi, reachedFrom, readApi } from "../src/tools/api.mjs";
import { test } from "./helpers/harness.ts";

const { entries, missing } = readApi();

/** What data sets and runs are made of, which no program names: see their files. */
const INNER = [
  ...[
    "AdapterModel",
    "Corpus",
    "DataModule",
    "Decoder",
    "Engine",
    "Examples",
    "FileReader",
    "Groups",
    "Job",
    "ModelPlan",
  ],
  ...["ModelSpec", "PackedBatch", "Parts", "Start", "TableSample", "Tfidf", "WholeSettings"],
];

test("the declarations are those of the page of types: what changes it changes what is promised", () => {
  const page = readFileSync(packagePath(PAGE), "utf8");
  assert.ok(printApi() === page, "the public declarations have changed: look at them, and run npm run api");
});

test("a type in a public signature can be imported", () => {
  assert.equal(missing.map(({ name, of }) => (INNER.includes(name) ? "" : `${name}, of ${of}`)).filter(Boolean), []);
});

test("the root has few names, and nothing of plans, specs, features and engines", () => {
  const [root] = entries;
  assert.ok(root!.exports.size <= 50, `${root!.exports.size} names`);
  const inner = reachedFrom(root!.exports.values()).filter(({ path }) =>
    /\/src\/(plan|model|engine|ops|backend\/webgpu|backend\/wasm)/.test(path),
  );
  assert.equal(
    inner.map(({ name }) => name),
    [],
  );
});
