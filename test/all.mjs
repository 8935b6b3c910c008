/**
 * `npm run test:all`: every test there is, and what checks the program from outside. At the end a table says what ran,
 * what was skipped and why.
 *
 *   --rest       without the tests that `npm test` runs
 *   --minutes N  begins nothing that does not fit: minutes are those of a machine of two cores
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({
  options: { rest: { type: "boolean" }, minutes: { type: "string", default: "Infinity" } },
});
const end = Date.now() + 60_000 * Number(flags.minutes);
const minutesLeft = () => (end - Date.now()) / 60_000;

const hasPython = () => spawnSync("python3", ["--version"]).status === 0;

/** What is run, by the name that the table has; `missing` says why it cannot be. */
const PARTS = [
  { name: "tests", script: "run.mjs", args: () => [flags.rest ? "--rest" : "--all", "--minutes", `${minutesLeft()}`] },
  { name: "kills", script: "kills.mjs", args: () => ["60"], minutes: 12 },
  { name: "runtimes", script: "runtimes.mjs", minutes: 3 },
  { name: "bundlers", script: "bundlers/run.mjs", minutes: 6 },
  { name: "cluster", script: "cluster/run.mjs", minutes: 8 },
  { name: "exchange", script: "exchange/run.mjs", minutes: 45, missing: () => (hasPython() ? "" : "python3") },
  { name: "drivers", script: "drivers.mjs", minutes: 90 },
  { name: "mutants", script: "mutants.mjs", args: () => ["--count", "20"], minutes: 40 },
];

const rows = PARTS.map(({ name, script, args = () => [], minutes = 0, missing = () => "" }) => {
  const lacks = missing();
  if (lacks) return [name, "skipped", `not installed: ${lacks}`];
  if (minutes > minutesLeft())
    return [name, "skipped", `takes ${minutes} minutes, ${Math.floor(minutesLeft())} are left`];
  console.log(`\n== ${name}`);
  const started = Date.now();
  const { status } = spawnSync(process.execPath, [`test/${script}`, ...args()], { stdio: "inherit" });
  return [name, status === 0 ? "ok" : "FAIL", `${((Date.now() - started) / 60_000).toFixed(1)} minutes`];
});
console.log("");
for (const [name, result, note] of rows) console.log(`${name.padEnd(10)}${result.padEnd(9)}${note}`);
process.exit(rows.some(([, result]) => result === "FAIL") ? 1 : 0);
