/**
 * Builds build/ and dist/: WASM (asc), generated data files, and the bundles. What has not changed is not built again.
 * `node src/tools/build.mjs [--tests]`: --tests also bundles test/ into build/test/.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { buildConstants, bundleProgram, bundleTests, NEW, NODE_BUNDLE, WASM } from "./bundles.mjs";
import { ifChanged } from "./if-changed.mjs";
import { generateKernels } from "./kernels.mjs";
import { buildTokenizer } from "./tokenizer.mjs";
import { buildWasm } from "./wasm.mjs";
import { buildWeb } from "./web-build.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(root);

/** The commands, built as dist/<name>.js; `lowrank` is all of them. */
const COMMANDS = ["lowrank", "train", "check", "classify", "embed", "generate", "export", "sweep", "bench", "doctor"];

/** What worker threads run, built as dist/kernels-worker.mjs. */
const WORKER = "src/backend/kernels-worker.ts";

/** Ends the build unless `isDone`: partial output is rebuilt next time. */
function must(isDone) {
  if (!isDone) process.exit(1);
}

/**
 * What dist/index.js imports, by package.json: a page that takes it for its own shows this name, because a browser cannot
 * resolve it, and would otherwise complain of `node:fs`.
 */
const FOR_NODE = "#for-node-only/in-a-page-import-dist/browser/index.js";

/** The installed versions of all packages. */
const PACKAGES = "node_modules/.package-lock.json";

async function compile() {
  console.error("building: WASM from assembly/, about 20 seconds");
  for (const folder of ["data", "kernels"]) must(await buildWasm(folder, root));
}

const OLD = "dist.old";

async function bundle(hash) {
  console.error("building: dist/, about 10 seconds");
  rmSync(NEW, { recursive: true, force: true });
  mkdirSync(NEW);
  for (const name of WASM) copyFileSync(join("build", name), join(NEW, name));
  buildTokenizer(NEW);
  const define = buildConstants(hash, NEW);
  await esbuild.build({
    ...NODE_BUNDLE,
    define,
    entryPoints: [
      { in: "src/index.ts", out: "node" },
      ...["data", "engine"].map((name) => ({ in: `src/entries/${name}.ts`, out: name })),
      ...COMMANDS.map((name) => ({ in: `src/commands/${name}.ts`, out: name })),
    ],
    outdir: NEW,
    splitting: true,
  });
  // In Node a base model is read from the package.
  writeFileSync(join(NEW, "bases.js"), "export {};\n");
  writeFileSync(join(NEW, "index.js"), `export * from "${FOR_NODE}";\n`);
  // In one file: with the chunks and packages of the commands a thread takes half as long again to start.
  // Its name says that it is a module: beside a copy of it there is no package.json.
  await esbuild.build({ ...NODE_BUNDLE, define, entryPoints: [WORKER], outdir: NEW, outExtension: { ".js": ".mjs" } });
  await buildWeb(define);
  const types = [
    "node_modules/typescript/bin/tsc",
    "--project",
    "src/tools/tsconfig.types.json",
    "--outDir",
    `${NEW}/types`,
  ];
  must(spawnSync(process.execPath, types, { stdio: "inherit" }).status === 0);
  rmSync(OLD, { recursive: true, force: true });
  if (existsSync("dist")) renameSync("dist", OLD);
  renameSync(NEW, "dist");
  rmSync(OLD, { recursive: true, force: true });
}

mkdirSync("build", { recursive: true });
await generateKernels();
const wasm = WASM.map((name) => `build/${name}`);
await ifChanged(
  { stamp: "build/wasm.stamp", inputs: ["assembly", "asconfig.json", "src/tools/wasm.mjs", PACKAGES], outputs: wasm },
  compile,
);
const read = [...wasm, "src", "shaders", "data", "package.json", "tsconfig.json", PACKAGES];
await ifChanged({ stamp: "build/dist.stamp", inputs: read, outputs: ["dist"] }, bundle);
// `lowrank dev verify`: it reads the fixtures of the tests, and is no part of the package.
await bundleProgram("test/verify/verify.ts", "build/verify.js");

if (process.argv.includes("--tests")) {
  rmSync("build/test", { recursive: true, force: true });
  await bundleTests(root);
}
