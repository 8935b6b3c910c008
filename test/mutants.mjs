/**
 * Plants faults in the code and tells whether a test finds them: `npm run mutants -- --count N --seed S`.
 *
 *   --count N    how many faults (10), drawn by --seed S (1): a file weighted by its lines, a kind of fault, a place
 *   --only PATH  draws from files whose path begins with PATH; --without PATH leaves such files out; both may be
 *   repeated --seconds N  gives up on a fault after tests of N seconds
 *   --all        where `npm test` does not find a fault, asks what `npm run test:all` has beyond it
 *   --list       only prints what would be planted, whether it compiles or not
 *
 * Works on a copy of the tree in a temporary folder, one fault and one test file at a time. A fault that does not
 * compile is drawn again. The tests that can see it run until one fails or takes three times as long as usual: first
 * those of the file's own name, then the nearest by imports, those of the built commands and the page last. A test that
 * fails must pass in a second copy, without the fault. (StrykerJS would run all tests for each fault: its command
 * runner knows neither which test sees which file nor how to build only what changed. A hundred faults would take a
 * night.)
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bundleTests } from "../src/tools/bundles.mjs";
import { listFaults } from "./faults.mjs";
import { endChild, runFile } from "./run-file.mjs";

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    only: { type: "string", multiple: true, default: [""] },
    without: { type: "string", multiple: true, default: [] },
    seconds: { type: "string", default: "Infinity" },
    list: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
  },
});

const FILES = /^(src\/(?!bench\/|tools\/).*(?<!\.d)\.ts|assembly\/(?!.*generated\/).*\.ts|shaders\/.*\.wgsl)$/;
/** What a file loads, or has others load, by another way than an import. */
const LOADED = [
  [/^assembly\/data\//, "src/data/wasm.ts"],
  [/^assembly\/kernels\//, "src/backend/wasm.ts"],
  [/^src\/backend\/kernels-worker\.ts$/, "src/backend/wasm-threads.ts"],
];
/** The tests of what is in dist/; they see every file. */
const isOfBuilt = (test, near) =>
  /^(browser\/|package|bench)/.test(test) ||
  ["spawn", "page-worker"].some((name) => near.get(`test/helpers/${name}.ts`)?.has(test));
const PATIENCE_MS = 20_000;
const FIRST_TIMEOUT_MS = 5 * 60_000;

/** Numbers in [0, 1) by a seed (mulberry32). */
function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws faults without end, none twice: {path, line, before, after, text, mutated}. */
function* drawFaults(paths, seed) {
  const random = randomNumbers(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const files = paths.map((path) => ({ path, text: readFileSync(path, "utf8") }));
  const byLine = files.flatMap((file) => file.text.split("\n").map(() => file));
  const drawn = new Set();
  for (let tries = 0; tries < 1e5; tries++) {
    const { path, text } = pick(byLine);
    const faults = listFaults(path, text);
    const kind = pick([...new Set(faults.map((fault) => fault.kind))]);
    const fault = pick(faults.filter((other) => other.kind === kind));
    const name = JSON.stringify([path, fault]);
    if (!fault || drawn.has(name)) continue;
    drawn.add(name);
    const { start, end, after } = fault;
    const line = text.slice(0, start).split("\n").length;
    yield {
      path,
      line,
      before: text.slice(start, end),
      after,
      text,
      mutated: text.slice(0, start) + after + text.slice(end),
    };
  }
}

const oneLine = (text) => text.replace(/\s+/g, " ").slice(0, 80) || "(nothing)";
const inWords = ({ path, line, before, after }) => `${path}:${line}  ${oneLine(before)}  ->  ${oneLine(after)}`;

const list = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" });
const tree = list.stdout.trim().split("\n");
const isBelow = (path, starts) => starts.some((start) => path.startsWith(start));
const paths = tree.filter((path) => FILES.test(path) && isBelow(path, options.only) && !isBelow(path, options.without));
if (paths.length === 0) throw new Error("there is no file to plant faults in");
const draws = drawFaults(paths, Number(options.seed));
if (options.list) {
  for (let i = 0; i < Number(options.count); i++) console.log(inWords(draws.next().value));
  process.exit();
}

const workspace = mkdtempSync(join(tmpdir(), "lowrank-mutants-"));
const children = new Set();
process.on("exit", () => {
  for (const child of children) endChild(child, children);
  rmSync(workspace, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/** Runs a script of the project `root`; whether it went well. */
function run(root, ...script) {
  return spawnSync(process.execPath, script, { cwd: root, stdio: "pipe" }).status === 0;
}

const CLEAN = join(workspace, "clean");
const FAULTY = join(workspace, "faulty");
/** Where tests may write what a fault makes them leave behind. */
const env = { TMPDIR: join(workspace, "tmp"), HOME: join(workspace, "home") };
for (const path of Object.values(env)) mkdirSync(path);
for (const path of tree) cpSync(path, join(CLEAN, path), { recursive: true });
symlinkSync(resolve("node_modules"), join(CLEAN, "node_modules"));
if (!run(CLEAN, "src/tools/build.mjs", "--tests")) throw new Error("the tree does not build");
cpSync(CLEAN, FAULTY, { recursive: true, verbatimSymlinks: true });
const { inputs } = await bundleTests(CLEAN);

const IMPORT = /\bfrom "(\.[^"]*)"/g;
/** The files of assembly/ that import this one; esbuild does not see them. */
function importers(path) {
  return tree.filter((other) => {
    if (!path.startsWith("assembly/") || !other.startsWith("assembly/")) return false;
    const names = [...readFileSync(other, "utf8").matchAll(IMPORT)].map(
      ([, name]) => `${join(dirname(other), name)}.ts`,
    );
    return names.includes(path);
  });
}

/** For each file, the tests that import it, with the number of imports between. */
function nearTests() {
  const near = new Map();
  for (const test of Object.keys(inputs).filter((path) => path.endsWith(".test.ts"))) {
    const name = test.replace(/^test\/(.*)\.ts$/, "$1.js");
    const distance = new Map([[test, 0]]);
    for (const [path, steps] of distance) {
      near.set(path, (near.get(path) ?? new Map()).set(name, steps));
      for (const next of inputs[path]?.imports ?? []) if (!distance.has(next.path)) distance.set(next.path, steps + 1);
    }
  }
  return near;
}
const near = nearTests();
const tests = Object.keys(inputs)
  .filter((path) => path.endsWith(".test.ts"))
  .map((path) => path.replace(/^test\/(.*)\.ts$/, "$1.js"));
/** Seconds that a test file took when it passed last. */
const usual = new Map();
/** Whether a test file passes without a fault. */
const sound = new Map();

/** The tests that can see a file, in the order in which they run. */
function nearestTests(path) {
  const steps = near.get(LOADED.find(([pattern]) => pattern.test(path))?.[1] ?? path) ?? new Map();
  const stems = [[path], importers(path)].map((files) => files.map((file) => basename(file).split(/[_.]/)[0]));
  const rank = (test) => [
    isOfBuilt(test, near) ? 1 : 0,
    (stems.findIndex((names) => names.some((name) => basename(test).startsWith(name))) + 3) % 3,
    steps.get(test) ?? 100,
    usual.get(`quick ${test}`) ?? 5,
  ];
  const compare = (a, b) => a.map((value, i) => value - b[i]).find((difference) => difference !== 0) ?? 0;
  const all = tests.filter((test) => steps.has(test) || isOfBuilt(test, near));
  return all
    .map((test) => ({ test, built: rank(test)[0] === 1, rank: rank(test) }))
    .sort((a, b) => compare(a.rank, b.rank));
}

/** Runs a test file with a fault in the code, or without; `tests` as in test/helpers/harness.ts. */
async function runTest(test, tests, root) {
  const key = `${tests} ${test}`;
  const timeout = usual.has(key) ? 3000 * usual.get(key) + PATIENCE_MS : FIRST_TIMEOUT_MS;
  const { faults, seconds } = await runFile(test, { root, timeout, env: { ...env, LOWRANK_TESTS: tests }, children });
  if (faults.length === 0) usual.set(key, seconds);
  return { faults, seconds };
}

/** A test file that fails without a fault as well finds nothing. */
async function isSound(test, tests) {
  const key = `${tests} ${test}`;
  if (!sound.has(key)) {
    const { faults } = await runTest(test, tests, CLEAN);
    sound.set(key, faults.length === 0);
    if (faults.length > 0) console.log(`left out: ${test} fails without a fault (${faults.join("; ")})`);
  }
  return sound.get(key);
}

/** What a build makes, and whether in FAULTY it was made with a fault. */
const BUILT = [
  "build",
  "dist",
  "src/ops/generated",
  "src/backend/generated",
  "assembly/kernels/generated",
  "assembly/data/generated",
];
let isBuiltFaulty = false;

/** Builds all. */
function buildAll() {
  isBuiltFaulty = true;
  return run(FAULTY, "src/tools/build.mjs", "--tests");
}

/** Builds what the tests need that import the planted file; whether it compiles. */
async function build({ path }) {
  // Whose bundles refuse other WASM.
  if (path.startsWith("assembly/")) return buildAll();
  if (path.startsWith("src/") && !run(FAULTY, "node_modules/typescript/bin/tsc", "--noEmit")) return false;
  // What is generated follows from the ops.
  if (path.startsWith("src/ops/")) return buildAll();
  await bundleTests(FAULTY);
  return true;
}

/** Runs the tests that can see the fault; says which found it, or how many are left where the time is over. */
async function search({ path }) {
  const nearest = nearestTests(path);
  const isOfAll = ({ test }) => test.endsWith(".all.test.js");
  const candidates = [
    ...nearest.filter((one) => !isOfAll(one)).map((one) => ({ ...one, tests: "quick" })),
    ...(options.all ? nearest.map((one) => ({ ...one, tests: isOfAll(one) ? "all" : "rest" })) : []),
  ];
  let isBuilt = false;
  let taken = 0;
  for (const [ran, { test, built, tests }] of candidates.entries()) {
    if (taken > Number(options.seconds)) return { ran, left: candidates.length - ran, seconds: taken };
    if (sound.get(`${tests} ${test}`) === false) continue;
    if ((built || /-worker\.ts$/.test(path)) && !isBuilt) {
      isBuilt = buildAll();
      if (!isBuilt) return { by: "the build", isQuick: true, seconds: taken };
    }
    const { faults, seconds } = await runTest(test, tests, FAULTY);
    taken += seconds;
    if (faults.length === 0 || !(await isSound(test, tests))) continue;
    const by = `${tests === "quick" ? "" : "test:all's "}${test.replace(/js$/, "ts")} (${faults[0]})`;
    return { by, isQuick: tests === "quick", seconds: taken };
  }
  return { ran: candidates.length, left: 0, seconds: taken };
}

/** Takes the fault out again, and what was built of it beside the tests. */
function restore({ path, text }) {
  writeFileSync(join(FAULTY, path), text);
  if (!isBuiltFaulty) return;
  for (const folder of BUILT) {
    rmSync(join(FAULTY, folder), { recursive: true });
    cpSync(join(CLEAN, folder), join(FAULTY, folder), { recursive: true });
  }
  isBuiltFaulty = false;
}

const outcomes = [];
while (outcomes.length < Number(options.count)) {
  const { value: fault, done } = draws.next();
  if (done) break;
  writeFileSync(join(FAULTY, fault.path), fault.mutated);
  if (await build(fault)) {
    const outcome = await search(fault);
    outcomes.push(outcome);
    const left = outcome.left > 0 ? `, ${outcome.left} left` : "";
    const result = outcome.by ? `found by ${outcome.by}` : `NOT FOUND by ${outcome.ran} test files${left},`;
    console.log(`${outcomes.length}. ${inWords(fault)}  ${result} in ${outcome.seconds.toFixed(0)} s`);
  }
  restore(fault);
}
const found = outcomes.filter(({ by }) => by).length;
const late = outcomes.filter(({ by, isQuick }) => by && !isQuick).length;
console.log(
  `\n${outcomes.length} faults planted (seed ${options.seed}): ${found} found, ${late} of them by test:all alone, ` +
    `${outcomes.length - found} not`,
);
