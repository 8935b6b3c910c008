/**
 * Runs the tests: bundles them, runs each file in a process of its own, and fails unless every file says how many tests
 * it declared, that all of them ran, and that none failed. `node test/run.mjs [PART-OF-A-FILE-NAME...]`
 *
 *   --all        also what `npm test` leaves to `npm run test:all`: tests declared with `testAll`, files *.all.test.ts
 *   --rest       nothing else
 *   --minutes N  begins no file after N minutes
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runFile } from "./run-file.mjs";

/** Two more than cores: files that wait for a page, a command or a lock leave their cores to others. */
const JOBS = availableParallelism() + 2;
/** Ends a file that hangs: on a machine with ten times the work, none takes as long. */
const FILE_TIMEOUT_MS = 10 * 60_000;
/**
 * Mesa's software driver compiles every shader for the CPU, which takes longer than running it here: for vectors of 128
 * bits it takes three quarters of the time. Without LLVM's optimisations it takes even less, but what models run then
 * takes twice as long, more than is won: Mesa keeps what it compiles, so that a file compiles only what is new.
 * `test:drivers` has the driver as it is.
 */
const DRIVER = { LP_NATIVE_VECTOR_WIDTH: "128" };
/** In place of the user's: what earlier runs knew of devices decides nothing. */
const CACHE = { LOWRANK_CACHE: resolve("build/test-cache") };
rmSync(CACHE.LOWRANK_CACHE, { recursive: true, force: true });
/** The seconds that each file took when it passed last. */
const SECONDS = "build/test-seconds.json";
const built = spawnSync(process.execPath, ["src/tools/build.mjs", "--tests"], { stdio: "inherit" });
if (built.status !== 0) process.exit(1);

const { values: flags, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { all: { type: "boolean" }, rest: { type: "boolean" }, minutes: { type: "string", default: "Infinity" } },
});
const tests = flags.all ? "all" : flags.rest ? "rest" : "quick";
const deadline = Date.now() + 60_000 * Number(flags.minutes);
const isOfAll = (file) => file.endsWith(".all.test.js");
const files = readdirSync("build/test", { recursive: true })
  .map(String)
  .filter((file) => file.endsWith(".test.js") && (tests !== "quick" || !isOfAll(file)))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)));
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(" ") || "test/**/*.test.ts"}`);
  process.exit(1);
}

async function run(file) {
  const env = { ...DRIVER, ...CACHE, LOWRANK_TESTS: isOfAll(file) ? "all" : tests };
  const { faults, report, output, seconds: taken } = await runFile(file, { timeout: FILE_TIMEOUT_MS, env });
  if (!faults.length) seconds[`${tests} ${file}`] = taken;
  const name = file.replace(/\.js$/, ".ts");
  const isEmpty = !faults.length && report.declared === 0;
  if (!isEmpty)
    console.log(`${faults.length ? "FAIL" : "ok  "} ${name}  ${report?.finished ?? 0} tests, ${taken.toFixed(1)} s`);
  for (const skip of report?.skipped ?? []) console.log(`     skipped: ${skip}`);
  if (faults.length) console.log(`${output.replace(/^@harness.*$/m, "").trim()}\n     ${faults.join("; ")}`);
  const { finished = 0, skipped = [], left = 0 } = report ?? {};
  return { faults: faults.length, tests: finished, skipped: skipped.length, left };
}

const seconds = existsSync(SECONDS) ? JSON.parse(readFileSync(SECONDS, "utf8")) : {};
/**
 * The longest first, so that none is left at the end; a file that never ran by its size, those that start programs
 * before all.
 */
const cost = (file) =>
  seconds[`${tests} ${file}`] ??
  statSync(join("build/test", file)).size / 2000 + (/^(browser|commands)|disk-faults/.test(file) ? 100 : 0);
const queue = files.sort((a, b) => cost(b) - cost(a));
const results = [];
await Promise.all(
  Array.from({ length: JOBS }, async () => {
    while (queue.length && Date.now() < deadline) results.push(await run(queue.shift()));
  }),
);
writeFileSync(SECONDS, JSON.stringify(seconds));
const sum = (key) => results.reduce((total, r) => total + r[key], 0);
const bad = results.filter((r) => r.faults).length;
console.log(`\n${results.length} files, ${sum("tests")} tests passed, ${sum("skipped")} skipped, ${bad} files failed`);
if (queue.length) console.log(`no time was left for ${queue.length} files: ${queue.join(", ")}`);
if (tests === "quick") console.log(`left to npm run test:all: ${sum("left")} tests, and the files *.all.test.ts`);
process.exit(bad ? 1 : 0);
