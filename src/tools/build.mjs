/**
 * Builds build/ and dist/: WASM (asc), generated data files, and the bundles.
 * `node src/tools/build.mjs [--tests]`: --tests also bundles test/ into build/test/.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { bundleTests, NODE_BUNDLE } from "./bundles.mjs";
import { buildHumanRights } from "./human-rights.mjs";
import { generateKernels } from "./kernels.mjs";
import { buildLanguages } from "./languages.mjs";
import { buildSpam } from "./spam.mjs";
import { buildTokenizer } from "./tokenizer.mjs";
import { buildWasm } from "./wasm.mjs";
import { buildWeb } from "./web-build.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(root);

/** The commands, built as dist/<name>.js; `lowrank` is all of them. */
const COMMANDS = ["lowrank", "train", "classify", "generate", "export", "sweep", "verify", "bench"];

function run(command, args) {
  const { status } = spawnSync(process.execPath, [command, ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

mkdirSync("build", { recursive: true });
await generateKernels();
for (const folder of ["data", "kernels"]) if (!buildWasm(folder, root)) process.exit(1);
rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
for (const name of ["data.wasm", "kernels.wasm", "kernels-relaxed.wasm"])
  copyFileSync(join("build", name), join("dist", name));
await buildSpam();
buildLanguages();
buildHumanRights();
buildTokenizer();
await esbuild.build({
  ...NODE_BUNDLE,
  entryPoints: [
    { in: "src/index.ts", out: "index" },
    ...COMMANDS.map((name) => ({ in: `src/commands/${name}.ts`, out: name })),
    { in: "src/backend/kernels-worker.ts", out: "kernels-worker" },
    { in: "src/backend/remote-worker.ts", out: "remote-worker" },
  ],
  outdir: "dist",
  splitting: true,
});
await buildWeb();
run("node_modules/typescript/bin/tsc", ["--project", "src/tools/tsconfig.types.json"]);

if (process.argv.includes("--tests")) {
  rmSync("build/test", { recursive: true, force: true });
  await bundleTests(root);
}
