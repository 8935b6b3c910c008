/**
 * `npm run test:all`: every test, and what checks the program from outside. A table at the end says what ran, what was
 * skipped and why.
 *
 *   --rest       without what `npm test` runs
 *   --minutes N  begins nothing that takes longer than what is left of them
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({
  options: { rest: { type: "boolean", default: false }, minutes: { type: "string", default: "Infinity" } },
});
const end = performance.now() + 60_000 * Number(flags.minutes);
const minutesLeft = () => (end - performance.now()) / 60_000;

/** What runs, with the minutes that it takes on two cores. The tests themselves end at the limit. */
const PARTS = [
  { name: "tests", script: "run.mjs", args: () => [flags.rest ? "--rest" : "--all", "--minutes", `${minutesLeft()}`] },
  { name: "kills", script: "kills.mjs", args: () => ["60"], minutes: 4 },
  { name: "stories", script: "stories/run.mjs", minutes: 5 },
  { name: "runtimes", script: "runtimes.mjs", minutes: 3 },
  { name: "bundlers", script: "bundlers/run.mjs", minutes: 15 },
  { name: "cluster", script: "cluster/run.mjs", minutes: 8 },
  { name: "mutants", script: "mutants.mjs", args: () => ["--count", "20"], minutes: 30 },
  { name: "exchange", script: "exchange/run.mjs", args: () => ["--optional"], minutes: 45 },
  { name: "drivers", script: "drivers.mjs", minutes: 90 },
];

/** Runs a part to its end; says whether it went well, and what it skipped. */
function run({ script, args = () => [] }) {
  const child = spawn(process.execPath, [`test/${script}`, ...args()], { stdio: ["ignore", "pipe", "inherit"] });
  const skipped = [];
  createInterface(child.stdout).on("line", (line) => {
    console.log(line);
    if (/^ *(skipped|no time was left)/.test(line)) skipped.push(line.trim());
  });
  return new Promise((done) => child.on("close", (code) => done({ isOk: code === 0, skipped })));
}

const rows = [];
for (const part of PARTS) {
  const { name, minutes = 0 } = part;
  if (minutes > minutesLeft()) {
    rows.push([name, `skipped: takes ${minutes} minutes, ${Math.max(0, Math.floor(minutesLeft()))} are left`]);
    continue;
  }
  console.log(`\n${name}: test/${part.script}`);
  const started = performance.now();
  const { isOk, skipped } = await run(part);
  rows.push([name, `${isOk ? "ok" : "FAIL"}, ${((performance.now() - started) / 60_000).toFixed(1)} minutes`]);
  for (const line of skipped) rows.push(["", line]);
  if (!isOk) process.exitCode = 1;
}
console.log("");
for (const [name, text] of rows) console.log(`${name.padEnd(10)}${text}`);
