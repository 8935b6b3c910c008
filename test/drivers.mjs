/**
 * Runs the tests that use WebGPU on two software drivers, lavapipe and Chromium's SwiftShader, each with Dawn's checks
 * (bounds of indices, zeros in workgroup memory) and without, and on lavapipe those of the ops with another
 * implementation of WebGPU, wgpu in Deno. Prints the largest errors of the golden fixtures as a table.
 * `node test/drivers.mjs [PART-OF-A-FILE-NAME...]`; minutes on lavapipe, an hour on SwiftShader.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { findChromium } from "../src/tools/browsers.mjs";
import { DENO, findRuntime } from "./helpers/runtimes.mjs";
import { runFile } from "./run-file.mjs";

const WITHOUT_CHECKS = { LOWRANK_DAWN_TOGGLES: "disable_robustness,disable_workgroup_init" };
const FILE_TIMEOUT_MS = 30 * 60_000;
const ICD_FOLDER = "/usr/share/vulkan/icd.d";

const built = spawnSync(process.execPath, ["src/tools/build.mjs", "--tests"], { stdio: "inherit" });
if (built.status !== 0) process.exit(1);

/** The manifests of the drivers, for Vulkan's loader. */
function findDrivers() {
  const mesa = existsSync(ICD_FOLDER) ? readdirSync(ICD_FOLDER).find((name) => /^lvp_icd/.test(name)) : undefined;
  return { lavapipe: mesa && join(ICD_FOLDER, mesa), SwiftShader: swiftShader() };
}

/** Chromium has the library beside its program; on Debian, the program in PATH is a script. */
function swiftShader() {
  const chromium = findChromium();
  if (!chromium) return undefined;
  const folders = [dirname(realpathSync(chromium)), "/usr/lib/chromium"];
  const library_path = folders.map((folder) => join(folder, "libvk_swiftshader.so")).find((path) => existsSync(path));
  if (!library_path) return undefined;
  const manifest = { file_format_version: "1.0.0", ICD: { library_path, api_version: "1.1.0" } };
  mkdirSync("build", { recursive: true });
  writeFileSync("build/swiftshader.json", JSON.stringify(manifest));
  return resolve("build/swiftshader.json");
}

const wanted = process.argv.slice(2);
const files = readdirSync("test", { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".test.ts") && !name.startsWith("browser"))
  .filter((name) => /^ops|testDevice|testOnDevices|openWebGPU/.test(name + readFileSync(join("test", name), "utf8")))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();

/** Runs test files; returns how many failed. */
async function runTests(some, env, runtime) {
  let failed = 0;
  for (const file of some) {
    const { faults, report, output, seconds } = await runFile(file.replace(/\.ts$/, ".js"), {
      timeout: FILE_TIMEOUT_MS,
      env: { LOWRANK_TESTS: "all", ...env },
      runtime,
    });
    console.log(
      `  ${faults.length ? "FAIL" : "ok  "} ${file}  ${report?.finished ?? 0} tests, ${seconds.toFixed(1)} s`,
    );
    if (faults.length) console.log(output.replace(/^@harness.*$/m, "").trim());
    failed += faults.length ? 1 : 0;
  }
  return failed;
}

/** The largest error of each kind over the golden fixtures. */
function verify(env, { program, args } = { program: process.execPath, args: [] }) {
  const fixtures = readdirSync("test/golden").filter((name) => name.endsWith(".safetensors"));
  const paths = fixtures.map((name) => join("test/golden", name));
  const { status, stdout } = spawnSync(
    program,
    [...args, "dist/lowrank.js", "dev", "verify", "--device", "webgpu", ...paths],
    {
      env: { ...process.env, ...env },
      encoding: "utf8",
      maxBuffer: 1 << 26,
    },
  );
  const summary = stdout.slice(stdout.indexOf("largest error of each kind"));
  const errors = [...summary.matchAll(/^ {2}(\S.*?) {2,}(\S+) of /gm)].map(([, kind, error]) => [kind, error]);
  return { device: /^device: (.*)$/m.exec(stdout)?.[1], passed: status === 0, errors: new Map(errors) };
}

let bad = 0;
const columns = [];

/** A column of the table: the fixtures, then the tests. */
async function runColumn(title, some, env, runtime) {
  const { device, passed, errors } = verify(env, runtime);
  console.log(`${title}: ${device}; fixtures ${passed ? "within tolerance" : "FAIL"}`);
  bad += (await runTests(some, env, runtime)) + (passed ? 0 : 1);
  columns.push({ title, errors });
}

const drivers = findDrivers();
for (const [name, manifest] of Object.entries(drivers)) {
  if (!manifest) {
    console.log(`skipped: ${name}: no such driver found`);
    continue;
  }
  for (const [checks, toggles] of [
    ["with checks", {}],
    ["without", WITHOUT_CHECKS],
  ]) {
    await runColumn(`${name}, ${checks}`, files, { VK_ICD_FILENAMES: manifest, ...toggles });
  }
}
const deno = drivers.lavapipe && findRuntime("deno", DENO);
if (deno) {
  const runtime = { program: deno, args: ["run", "--allow-all", "--unstable-webgpu"] };
  // The others test what is Node's or Dawn's.
  const ops = files.filter((name) => name.startsWith("ops"));
  await runColumn("lavapipe, wgpu in Deno", ops, { VK_ICD_FILENAMES: drivers.lavapipe }, runtime);
} else console.log("skipped: wgpu in Deno: neither here nor installed by npm");
const row = (cells) => `| ${cells.join(" | ")} |`;
console.log(`\n${row(["largest error", ...columns.map(({ title }) => title)])}`);
console.log(row(["---", ...columns.map(() => "---")]));
for (const kind of columns[0]?.errors.keys() ?? [])
  console.log(row([kind, ...columns.map(({ errors }) => errors.get(kind) ?? "-")]));
process.exit(bad || columns.length === 0 ? 1 : 0);
